// Finds the program of this platform, which npm has installed as an optional dependency.
'use strict';

const { optionalDependencies } = require('../package.json');

const OTHER_WAYS = 'run the image, or build it from source: https://github.com/peerbroker/peerbroker#getting-it';

function findProgram() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@peerbroker/${platform}`;
  if (!(name in optionalDependencies)) throw new Error(`npm has no program of peerbroker for ${platform}: ${OTHER_WAYS}`);
  try {
    return require.resolve(`${name}/bin/peerbroker${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    throw new Error(`the package ${name} is missing: install peerbroker again without --omit=optional, ${OTHER_WAYS}`);
  }
}

module.exports = { findProgram, OTHER_WAYS };
