// A real OpenID provider (panva's oidc-provider) on loopback, for tests: whoever login_hint names has signed in already.
// Arguments: a folder with its packages, the client's id, its secret, the path that it sends people back to.
// Writes its port as its first line.
import http from 'node:http';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// Its advice for production would end it as soon as nobody reads what it writes.
console.info = console.warn = () => {};

const [modules, client_id, client_secret, path_back] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(path.join(modules, 'oidc-provider/lib/index.js')).href);

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: [{ client_id, client_secret, redirect_uris: [`https://rookery.example.com${path_back}`], token_endpoint_auth_method: 'client_secret_basic' }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // Without this the claims would be at its userinfo endpoint alone.
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id, email_verified: !id.startsWith('unverified'), name: `Name of ${id}` }),
    }),
    async loadExistingGrant(ctx) {
      const { client, session } = ctx.oidc;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  });
  // Servers of tests have whichever port is free.
  provider.Client.prototype.redirectUriAllowed = uri =>
    new URL(uri).pathname === path_back && ['rookery.example.com', 'localhost'].includes(new URL(uri).hostname);
  const serve = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url.startsWith('/interaction/')) return serve(request, response);
    const { params } = await provider.interactionDetails(request, response);
    if (params.login_hint === 'nobody') {
      return provider.interactionFinished(request, response, { error: 'access_denied' });
    }
    return provider.interactionFinished(request, response, { login: { accountId: params.login_hint } });
  });
  console.log(server.address().port);
});
