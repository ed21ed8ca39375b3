// Writes the copyright file of a package: our licence, and those of all libraries in the program, with their texts.
// Usage: cargo metadata --locked --format-version 1 --filter-platform TARGET | node scripts/copyright.mjs
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { packages, resolve } = JSON.parse(readFileSync(0, 'utf8'));
const byId = new Map(packages.map((crate) => [crate.id, crate]));
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
const root = byId.get(resolve.root) ?? packages.find(({ name }) => name === 'peerbroker');

// The crates in the program, without those of tests and builds.
const contained = new Set();
const visit = (id) => {
  if (contained.has(id)) return;
  contained.add(id);
  for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) if (kinds.some(({ kind }) => kind === null)) visit(pkg);
};
visit(root.id);
contained.delete(root.id);

const isText = (name) => /^(licen[cs]e|copying|notice|copyright)/i.test(name);
// One level down, too: crates with C code have its licence there.
const textsOf = (crate) => {
  const dir = dirname(crate.manifest_path);
  const names = readdirSync(dir);
  const below = names
    .filter((name) => statSync(join(dir, name)).isDirectory())
    .flatMap((name) => readdirSync(join(dir, name)).map((file) => join(name, file)));
  return [...names, ...below]
    .filter((path) => isText(path.split('/').at(-1)) && statSync(join(dir, path)).isFile())
    .map((path) => readFileSync(join(dir, path), 'utf8').replaceAll('\r\n', '\n').trim());
};

// The Apache licence is a file of Debian, so its text is not repeated.
const isApache = (text) => text.includes('Apache License') && text.includes('TERMS AND CONDITIONS FOR USE');
const owners = new Map();
const crates = [...contained].map((id) => byId.get(id)).sort((a, b) => (a.name < b.name ? -1 : 1));
for (const crate of crates) {
  for (const text of textsOf(crate).filter((text) => text && !isApache(text))) {
    owners.set(text, (owners.get(text) ?? new Set()).add(crate.name));
  }
}
const page = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8').trim();
const indented = (text) => text.split('\n').map((line) => (line.trim() ? ` ${line}` : ' .')).join('\n');

console.log(`Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ${root.name}
Source: ${root.repository}

Files: *
Copyright: ${page('LICENSE-MIT').match(/Copyright (?:\(c\) )?(.*)/)[1]}
License: MIT or Apache-2.0
${indented(page('LICENSE-MIT'))}
 .
 The Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.

Comment:
 The program contains the libraries below. Where one has several licences to choose from, peerbroker takes the one that
 is compatible with its own.
${crates.map(({ name, version, license }) => ` ${name} ${version}: ${license}`).join('\n')}
`);
console.log(`Comment: licences of the libraries of the pages\n${indented(page('npm/vendor/dist/LICENSES.txt'))}\n`);
for (const [text, names] of owners) console.log(`Comment: licence of ${[...names].join(', ')}\n${indented(text)}\n`);
