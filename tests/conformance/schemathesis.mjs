// Schemathesis asks the API what its OpenAPI description allows, and what it does not.

import { writeFileSync } from 'node:fs';
import { TOKEN, dashboardOf } from '../../client-tests/lib/dashboard.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { below, output, pythonPackages } from './tools.mjs';

const SUITE = 'schemathesis==4.32.5';

/** README.md says why. */
const EXCLUDED_CHECKS = 'positive_data_acceptance,unsupported_method';

/** Asks a server of its own, because the suite removes keys and their tokens. Resolves with the number of requests. */
async function ask(name, tokenOf, env) {
  const log = `schemathesis-${name.replaceAll(' ', '-')}`;
  const server = await startServer(['--ops_port', '0', '--admin_token', TOKEN]);
  try {
    const { url, api } = await dashboardOf(server);
    const token = await tokenOf(api);
    // Not everybody may read it from the server.
    const description = below('openapi.json');
    writeFileSync(description, JSON.stringify((await api('GET', '/api/openapi.json')).json));
    const { code, text } = await output(log, 'python3', [
      '-m', 'schemathesis.cli', 'run', description, '--url', url, ...(token ? ['--header', `Authorization: Bearer ${token}`] : []),
      // It does not end.
      '--exclude-path', '/api/live',
      '--exclude-checks', EXCLUDED_CHECKS, '--seed', '1', '--max-examples', '30', '--no-color', '--warnings', 'off',
    ], { env });
    const count = text.match(/(\d+) generated/)?.[1];
    if (code !== 0 || !count) throw new Error(`${name}: see ${below(`${log}.log`)}\n${text.split('=== FAILURES ===')[1] ?? text}`);
    return `${count} ${name}`;
  } finally {
    await server.stop();
  }
}

export async function schemathesis() {
  const env = await pythonPackages('python3', SUITE);
  const keyToken = async (api) => {
    await api('POST', '/api/keys', { key: 'my-game' });
    const scopes = ['messages', 'peers:read', 'kick'];
    return (await api('POST', '/api/keys/my-game/tokens', { name: 'shop', scopes })).json.token;
  };
  const counts = [
    await ask('of the operator', () => TOKEN, env),
    await ask('of a key', keyToken, env),
    await ask('without a token', () => null, env),
  ];
  return `requests: ${counts.join(', ')}`;
}
