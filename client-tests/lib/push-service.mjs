// A push service as browser vendors have them (RFC 8030): it takes encrypted messages for subscriptions, of their app's server only.

import { createECDH, createPublicKey, randomBytes, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { buffer } from 'node:stream/consumers';
import ece from 'http_ece';
import { listen } from './listen.mjs';
import { selfSigned } from './server.mjs';
import { until } from './within.mjs';

/** Starts a service; clients must trust its `authority`. */
export async function startPushService() {
  const { key, cert } = selfSigned();
  const subscriptions = new Map();
  const pushes = [];
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, async (request, response) => {
    const body = await buffer(request);
    const subscription = subscriptions.get(request.url);
    if (!subscription) return response.writeHead(410).end();
    if (!isOfServer(request.headers.authorization, subscription, `https://${request.headers.host}`)) return response.writeHead(403).end();
    pushes.push({ headers: request.headers, body, ...subscription });
    response.writeHead(201).end();
  });
  const { port, stop } = await listen(server);

  return {
    stop,
    authority: cert,
    /** A subscription, as `PushManager.subscribe` makes it: its JSON. */
    subscribe(applicationServerKey) {
      const privateKey = createECDH('prime256v1');
      const publicKey = privateKey.generateKeys();
      const authSecret = randomBytes(16);
      const path = `/${randomBytes(16).toString('base64url')}`;
      const endpoint = `https://127.0.0.1:${port}${path}`;
      subscriptions.set(path, { endpoint, applicationServerKey, privateKey, authSecret });
      return { endpoint, expirationTime: null, keys: { p256dh: publicKey.toString('base64url'), auth: authSecret.toString('base64url') } };
    },
    /** The next push, decrypted as a browser does it (RFC 8291). */
    async next() {
      await until('a push', () => pushes.length > 0);
      const { headers, body, endpoint, privateKey, authSecret } = pushes.shift();
      const text = ece.decrypt(body, { version: headers['content-encoding'], privateKey, authSecret }).toString();
      return { endpoint, text, seconds: Number(headers.ttl), urgency: headers.urgency };
    },
    /** The number of pushes that nobody has taken. */
    get waiting() {
      return pushes.length;
    },
  };
}

/** True if the server that the page named has signed the request (RFC 8292). */
function isOfServer(authorization, { applicationServerKey }, origin) {
  const [, token, publicKey] = authorization?.match(/^vapid t=([^,]+), ?k=(.+)$/) ?? [];
  if (publicKey !== applicationServerKey) return false;
  const [header, claims, signature] = token.split('.');
  const point = Buffer.from(publicKey, 'base64url');
  const part = (from, to) => point.subarray(from, to).toString('base64url');
  const key = createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: part(1, 33), y: part(33, 65) } });
  const isSigned = verify('sha256', Buffer.from(`${header}.${claims}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  return isSigned && JSON.parse(Buffer.from(claims, 'base64url').toString()).aud === origin;
}
