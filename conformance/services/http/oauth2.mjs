// oauth2-mock-server, one per tenant: each test has its own server under `/TENANT/`, which is created on first use.
//
//   node oauth2.mjs PORT
//
// In addition to the server's endpoints, each tenant has
//   POST /TENANT/control/rotate    replaces the signing key; old keys are removed from the JWKS
//   GET  /TENANT/control/grants    the number of issued tokens by grant type
//   *    /TENANT/protected         200 for an unexpired token of this tenant, otherwise 401
//
// A token request may have the parameter `lifetime` (seconds).
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { OAuth2Server } from 'oauth2-mock-server';

const port = Number(process.argv[2]);
const tenants = new Map();

async function keyed(url, grants) {
  // Not started, because its request handler is mounted under the tenant's path.
  const { issuer, service } = new OAuth2Server();
  issuer.url = url;
  await issuer.keys.generate('ES256');
  const lifetime = (request) => Number(request.body.lifetime ?? 3600);
  service.on('beforeTokenSigning', (token, request) => {
    token.payload.exp = token.payload.iat + lifetime(request);
    token.payload.jti = randomUUID();
    if (request.body.audience) token.payload.aud = request.body.audience;
  });
  service.on('beforeResponse', (response, request) => {
    const grant = request.body.grant_type;
    grants[grant] = (grants[grant] ?? 0) + 1;
    response.body.expires_in = lifetime(request);
  });
  return { issuer, service, grants };
}

async function tenant(name) {
  // The map has promises, so concurrent first requests share one tenant.
  if (!tenants.has(name)) tenants.set(name, keyed(`http://127.0.0.1:${port}/${name}`, {}));
  return tenants.get(name);
}

async function holder(request, { issuer }) {
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const keys = createLocalJWKSet({ keys: issuer.keys.toJSON() });
  return (await jwtVerify(token ?? '', keys, { issuer: issuer.url })).payload;
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

http
  .createServer(async (request, response) => {
    const [, name, path] = /^\/([^/?]+)(\/.*)$/.exec(request.url) ?? [];
    if (!name) return answer(response, 404, { error: 'no tenant' });
    const { issuer, service, grants } = await tenant(name);
    if (path === '/control/rotate' && request.method === 'POST') {
      request.resume();
      tenants.set(name, keyed(issuer.url, grants));
      const { issuer: next } = await tenant(name);
      return answer(response, 200, { kid: next.keys.toJSON()[0].kid });
    }
    if (path === '/control/grants') return answer(response, 200, grants);
    if (path === '/protected') {
      request.resume();
      try {
        return answer(response, 200, { jti: (await holder(request, { issuer })).jti });
      } catch (error) {
        return answer(response, 401, { error: error.code });
      }
    }
    request.url = path;
    return service.requestHandler(request, response);
  })
  .listen(port, '127.0.0.1');
