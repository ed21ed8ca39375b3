// Makes a token with which a client proves that an id is its own. Needs nothing but Node.
//
//   JWT_SECRET=… node mint.mjs --id alice                HS256, for a key with a secret
//   node mint.mjs --id alice --pem private.pem           RS256, ES256 or EdDSA, by the kind of the key
//
//   --key peerjs       the token is good for this key of the broker only
//   --seconds 3600     for how long it is good
//   --kid main         the name of the key, where the broker has a JSON Web Key Set
//
// An --id that ends in * allows all ids that begin so. Never take it from what a user may choose freely.
import { createHmac, createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    id: { type: 'string' },
    pem: { type: 'string' },
    key: { type: 'string' },
    seconds: { type: 'string', default: '3600' },
    kid: { type: 'string' },
  },
});

const signers = {
  rsa: { alg: 'RS256', sign: (text, key) => sign('sha256', text, key) },
  // A token has both numbers side by side, where OpenSSL would wrap them in DER.
  ec: { alg: 'ES256', sign: (text, key) => sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' }) },
  ed25519: { alg: 'EdDSA', sign: (text, key) => sign(null, text, key) },
};

function signer() {
  if (values.pem) {
    const key = createPrivateKey(readFileSync(values.pem));
    const found = signers[key.asymmetricKeyType];
    if (!found) throw new Error(`a key of the kind ${key.asymmetricKeyType} is not supported`);
    return { alg: found.alg, sign: (text) => found.sign(Buffer.from(text), key) };
  }
  const secret = process.env.JWT_SECRET;
  if (!secret) throw new Error('set JWT_SECRET, or name a private key with --pem');
  return { alg: 'HS256', sign: (text) => createHmac('sha256', secret).update(text).digest() };
}

function mint(id) {
  const { alg, sign } = signer();
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + Number(values.seconds);
  // What is undefined is left out.
  const text = `${part({ alg, typ: 'JWT', kid: values.kid })}.${part({ sub: id, exp, aud: values.key })}`;
  return `${text}.${sign(text).toString('base64url')}`;
}

if (!values.id) {
  console.error('usage: mint.mjs --id ID [--pem FILE] [--key KEY] [--seconds N] [--kid NAME]');
  process.exit(2);
}
console.log(mint(values.id));
