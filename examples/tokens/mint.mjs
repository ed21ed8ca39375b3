// Creates a token that proves that a client owns an id. Needs only Node.
//
//   JWT_SECRET=… node mint.mjs --id alice                HS256, for a key with a secret
//   node mint.mjs --id alice --pem private.pem           RS256, ES256 or EdDSA, by the kind of the key
//
//   --key peerjs       make the token valid for this API key only
//   --seconds 3600     how long the token is valid
//   --kid main         the name of the signing key, if the broker has a JSON Web Key Set
//
// An --id that ends in * allows all ids with that prefix. Never let users choose it freely.
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
  // JWT wants the two numbers concatenated; OpenSSL's default is DER.
  ec: { alg: 'ES256', sign: (text, key) => sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' }) },
  ed25519: { alg: 'EdDSA', sign: (text, key) => sign(null, text, key) },
};

function signer() {
  if (values.pem) {
    const key = createPrivateKey(readFileSync(values.pem));
    const found = signers[key.asymmetricKeyType];
    if (!found) throw new Error(`keys of type ${key.asymmetricKeyType} are not supported; use RSA, EC P-256 or Ed25519`);
    return { alg: found.alg, sign: (text) => found.sign(Buffer.from(text), key) };
  }
  const secret = process.env.JWT_SECRET;
  if (!secret) throw new Error('set JWT_SECRET, or give a private key with --pem');
  return { alg: 'HS256', sign: (text) => createHmac('sha256', secret).update(text).digest() };
}

function mint(id) {
  const { alg, sign } = signer();
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + Number(values.seconds);
  // JSON leaves out undefined values.
  const text = `${part({ alg, typ: 'JWT', kid: values.kid })}.${part({ sub: id, exp, aud: values.key })}`;
  return `${text}.${sign(text).toString('base64url')}`;
}

if (!values.id) {
  console.error('usage: mint.mjs --id ID [--pem FILE] [--key KEY] [--seconds N] [--kid NAME]');
  process.exit(2);
}
console.log(mint(values.id));
