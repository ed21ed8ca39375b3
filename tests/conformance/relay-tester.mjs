// relay-tester, a suite of Nostr's relays.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from '../../client-tests/lib/server.mjs';
import { Skipped, below, output } from './tools.mjs';

/** The required tests that fail, because they ask for stored events, or send one of a kind that is stored. README.md has them by groups. */
const STORED = [
  'Accepts NIP-01 JSON escape sequences', 'Accepts UTF-8 non-characters', 'Accepts event.created_at one week old',
  'Events are ordered from newest to oldest', 'Newest events are returned when filter is limited',
  'Finds by id', 'Finds by pubkey and kind', 'Finds by kind and tags', 'Finds by tags', 'Finds by multiple tags', 'Finds by pubkey', 'Finds by scrape',
  'Accepts metadata', 'Replaces metadata', 'Accepts Contactlists', 'Replaces Contactlists', 'Finds replaceable events', 'Finds addressable events',
];

export async function relayTester() {
  const folder = process.env.RELAY_TESTER ?? below('relay-tester/bin');
  if (!existsSync(folder)) throw new Skipped(`there is no ${folder}: set RELAY_TESTER to the folder of its programs`);
  const key = async () => (await output('relay-tester-key', join(folder, 'generate-keypair'), [])).text.match(/nsec\w+/)[0];
  const server = await startServer();
  try {
    const { text } = await output('relay-tester', join(folder, 'relay-tester'), ['--script', server.socketUrl, await key(), await key()]);
    const tests = text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    const named = (wanted) => tests.filter(wanted).map(({ test }) => test);
    const failed = named(({ required, pass }) => required && pass === false);
    const wrong = [...failed.filter((test) => !STORED.includes(test)), ...STORED.filter((test) => !failed.includes(test))];
    if (wrong.length > 0) throw new Error(`not as expected: ${wrong.join(', ')}. See ${below('relay-tester.log')}`);
    const [passed, untested] = [true, null].map((outcome) => named(({ required, pass }) => required && pass === outcome).length);
    return `${passed} required tests pass, ${failed.length} need storage, ${untested} are not tried`;
  } finally {
    await server.stop();
  }
}
