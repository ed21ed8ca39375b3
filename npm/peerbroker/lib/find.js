// Finds the program of this platform, which npm has installed as an optional dependency.
'use strict';

const { optionalDependencies } = require('../package.json');

const OTHER_WAYS = 'run the image, or build it from source: https://github.com/peerbroker/peerbroker#getting-it';
// Programs cannot be started inside of Electron's archive.
const ASAR = /\.asar(?=[\\/])/;

function findProgram() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@peerbroker/${platform}`;
  if (!(name in optionalDependencies)) throw new Error(`npm has no program of peerbroker for ${platform}: ${OTHER_WAYS}`);
  try {
    return require.resolve(`${name}/bin/peerbroker${process.platform === 'win32' ? '.exe' : ''}`).replace(ASAR, '.asar.unpacked');
  } catch {
    throw new Error(
      `the package ${name} is missing: npm leaves it out with --omit=optional, or if the lock file was written on another platform `
        + `(https://github.com/npm/cli/issues/4828). Delete node_modules and package-lock.json and install again, ${OTHER_WAYS}`,
    );
  }
}

/** What to do if the program cannot be started. */
function startHint(path) {
  const isPacked = /\.asar\.unpacked[\\/]/.test(path);
  return isPacked ? '. Have Electron’s packager unpack it, with asarUnpack: ["**/node_modules/@peerbroker/**"]' : '';
}

module.exports = { findProgram, startHint, OTHER_WAYS };
