// A certificate signed by an authority, for clients that refuse self-signed ones.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratch } from './scratch.mjs';

/** The files of an authority's certificate, and of the key and the certificate that it has signed for a host name and an address. */
export function signedFor(name, address) {
  const folder = scratch();
  const openssl = (...words) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  const newKey = (file) => ['-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout', file];
  openssl(
    'req', '-x509', '-days', '2', ...newKey('authority.key'), '-out', 'authority.pem', '-subj', '/CN=authority of the tests',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign',
  );
  openssl('req', ...newKey('key.pem'), '-out', 'request.pem', '-subj', `/CN=${name}`);
  writeFileSync(join(folder, 'leaf'), `subjectAltName=DNS:${name},IP:${address}\nextendedKeyUsage=serverAuth\n`);
  openssl(
    'x509', '-req', '-days', '2', '-in', 'request.pem', '-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial',
    '-extfile', 'leaf', '-out', 'cert.pem',
  );
  const file = (file) => join(folder, file);
  return { authority: file('authority.pem'), key: file('key.pem'), cert: file('cert.pem') };
}
