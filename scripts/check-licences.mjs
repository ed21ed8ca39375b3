// Reads `cargo metadata` and fails if a dependency's licence is not compatible with
// MIT OR Apache-2.0.
import { readFileSync } from 'node:fs';

const allowed = new Set([
  '0BSD', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BSD-2-Clause', 'BSD-3-Clause', 'BSL-1.0',
  'CDLA-Permissive-2.0', 'ISC', 'MIT', 'MIT-0', 'Unicode-3.0', 'Unlicense', 'Zlib',
]);

// `A OR B` fits if one of them does, `A AND B` if both do.
const fits = (expression) =>
  expression
    .replaceAll('/', ' OR ')
    .replace(/[()]/g, ' ')
    .split(/\s+AND\s+/)
    .every((part) => part.split(/\s+OR\s+/).some((licence) => allowed.has(licence.trim())));

const { packages } = JSON.parse(readFileSync(0, 'utf8'));
const others = packages.filter(({ license }) => !license || !fits(license));
for (const { name, version, license } of others) console.error(`${name} ${version}: ${license ?? 'no licence'}`);
console.log(`licences of ${packages.length} packages: ${others.length ? 'not all fit' : 'all fit'}`);
process.exitCode = others.length ? 1 : 0;
