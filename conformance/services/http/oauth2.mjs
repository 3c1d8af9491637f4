// oauth2-mock-server, once per tenant: every test has a server of its own under `/TENANT/`, made when it is first asked.
//
//   node oauth2.mjs PORT
//
// Beside the server's own endpoints, each tenant has
//   POST /TENANT/control/rotate    a new key signs from now on, and the old ones are forgotten
//   GET  /TENANT/control/grants    how many tokens were given, by grant
//   *    /TENANT/protected         200 to a token of this tenant that has not expired, 401 to anything else
//
// A token request may have the parameter `lifetime` (seconds).
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { OAuth2Server } from 'oauth2-mock-server';

const port = Number(process.argv[2]);
const tenants = new Map();

async function keyed(url, grants) {
  // Not started: its handler is used behind the tenant's path.
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
  // Requests that come while a tenant is made wait for the same one.
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
