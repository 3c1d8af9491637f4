// oidc-provider, one per tenant: each test has its own provider under `/TENANT/`, which is created on first use.
//
//   node oidc.mjs PORT
//
// In addition to the provider's endpoints, each tenant has
//   POST /TENANT/control/rotate    adds a signing key; former keys remain in the JWKS
//   POST /TENANT/control/retire    replaces the signing key; former keys are removed from the JWKS
//
// Clients: `app` is public (authorization code with PKCE, refresh tokens that rotate), `service` has a secret (client
// credentials). Access tokens for a resource are JSON Web Tokens; a resource `.../ttl/SECONDS` sets their lifetime.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const tenants = new Map();

async function signingKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: randomUUID() };
}

// Generating an RSA key is slow, so all tenants start with the same one.
const firstKey = await signingKey();

function provider(issuer, keys) {
  return new Provider(issuer, {
    clients: [
      {
        client_id: 'app',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/callback'],
      },
      {
        client_id: 'service',
        client_secret: 'a secret & more',
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    jwks: { keys },
    cookies: { keys: ['live'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'read write',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: Number(/\/ttl\/(\d+)$/.exec(resource)?.[1] ?? 600),
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    issueRefreshToken: () => true,
    pkce: { methods: ['S256'], required: () => true },
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access', 'read', 'write'],
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, RefreshToken: 600, Session: 600 },
  });
}

function keyed(issuer, keys) {
  return { issuer, keys, handle: provider(issuer, keys).callback() };
}

function tenant(name) {
  if (!tenants.has(name)) tenants.set(name, keyed(`http://127.0.0.1:${port}/${name}`, [firstKey]));
  return tenants.get(name);
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

http
  .createServer(async (request, response) => {
    const [, name, path] = /^\/([^/?]+)(\/.*)$/.exec(request.url) ?? [];
    if (!name) return answer(response, 404, { error: 'no tenant' });
    const { issuer, keys, handle } = tenant(name);
    const change = /^\/control\/(rotate|retire)$/.exec(path)?.[1];
    if (change && request.method === 'POST') {
      request.resume();
      const key = await signingKey();
      tenants.set(name, keyed(issuer, [key, ...(change === 'rotate' ? keys : [])]));
      return answer(response, 200, { kid: key.kid });
    }
    // The provider derives its mount path from the difference between both.
    request.originalUrl = request.url;
    request.url = path;
    return handle(request, response);
  })
  .listen(port, '127.0.0.1');
