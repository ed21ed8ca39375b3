// The blocks of code of the documents, for tests that run them.

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const read = (name) => readFileSync(join(root, name), 'utf8');

export const documents = ['README.md', 'CONTRIBUTING.md', 'npm/peerbroker/README.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

/** The fenced blocks of a document in some languages. Those of a list are indented. */
export function blocks(document, languages = '\\w+') {
  const fenced = new RegExp(`^( *)\`\`\`(${languages})\\b.*\n([^]*?)^ *\`\`\`$`, 'gm');
  return Array.from(read(document).matchAll(fenced), ([, indent, language, code]) => ({ language, code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }));
}

/** The block of a document that is this line, or the only one that has this text. `listings-run.test.mjs` reads the calls: the arguments are literals. */
export function listing(document, part) {
  const all = blocks(document);
  const exact = all.filter(({ code }) => code === `${part}\n`);
  const found = exact.length > 0 ? exact : all.filter(({ code }) => code.includes(part));
  if (found.length !== 1) throw new Error(`${document} has ${found.length} blocks with ${part}`);
  return found[0].code;
}

/** The indented blocks of a document, without their indent. */
export function indented(document) {
  const text = read(document).replaceAll(/^ *```[^]*?^ *```$/gm, '');
  return Array.from(text.matchAll(/(?:^ {4,}\S.*\n)+/gm), ([block]) => block.replaceAll(/^ +/gm, ''));
}

/** The code for a server under test, instead of those that documents name. */
export function at({ host = '127.0.0.1', port }, code) {
  return code
    .replaceAll('localhost:9000', `${host}:${port}`)
    .replaceAll(/https:\/\/broker\.example(\.com)?(?=[/'])/g, `http://127.0.0.1:${port}`)
    .replaceAll(/host: '(localhost', port: 9000|broker\.example\.\w+'(, secure: true)?)/g, `host: '127.0.0.1', port: ${port}`);
}
