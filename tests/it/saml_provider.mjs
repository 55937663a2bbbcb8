// A real SAML 2.0 identity provider (Auth0's samlp) on loopback, for tests: whoever `user` names has signed in already, and the other
// parameters of the address let it say what a provider for somebody else would say.
// Arguments: a folder with its packages, a folder for its key.
// Writes its port as its first line.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, folder] = process.argv.slice(2);
const samlp = createRequire(path.join(modules, 'samlp/package.json'))('samlp/lib/index.js');
const [keyFile, certFile] = [path.join(folder, 'saml-key.pem'), path.join(folder, 'saml-cert.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=Example IdP',
  '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
const [key, cert] = [fs.readFileSync(keyFile), fs.readFileSync(certFile)];
const issuer = 'https://idp.example.com/saml';

const server = http.createServer((request, response) => {
  const url = new URL(request.url, `http://${request.headers.host}`);
  request.query = Object.fromEntries(url.searchParams);
  // What its middleware expects of Express.
  request.protocol = 'http';
  request.originalUrl = request.url;
  response.set = (name, value) => response.setHeader(name, value);
  response.send = body => response.end(typeof body === 'number' ? String(body) : body);
  const failed = error => { response.statusCode = 500; response.end(String(error?.stack ?? error)); };
  if (url.pathname === '/metadata') {
    return samlp.metadata({ issuer, cert, redirectEndpointPath: '/sso', postEndpointPath: '/sso' })(request, response, failed);
  }
  const { user, audience, destination, recipient, sign, hash, lifetime, from, status } = request.query;
  samlp.parseRequest(request, (error, asked) => {
    if (error) return failed(error);
    const consumer = asked.assertionConsumerServiceURL;
    samlp.auth({
      issuer: from ?? issuer, cert, key, audience,
      destination: destination ?? consumer,
      recipient: recipient ?? consumer,
      signAssertion: sign !== 'response' && sign !== 'none',
      signResponse: sign === 'response' || sign === 'both',
      signatureAlgorithm: hash === 'sha1' ? 'rsa-sha1' : 'rsa-sha256',
      digestAlgorithm: hash ?? 'sha256',
      lifetimeInSeconds: Number(lifetime ?? 300),
      samlStatusCode: status,
      getPostURL: (_audience, _request, _http, callback) => callback(null, consumer),
      getUserFromRequest: () => ({
        id: user, emails: [{ value: user }], displayName: `Name of ${user}`, name: { givenName: 'Name', familyName: user },
      }),
    })(request, response, failed);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
