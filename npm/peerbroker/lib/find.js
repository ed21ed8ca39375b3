// Finds the program of this platform, which npm has installed as an optional dependency.
'use strict';

const { basename } = require('node:path');
const { optionalDependencies } = require('../package.json');

const OTHER_WAYS = 'run the image, or build it from source: https://github.com/peerbroker/peerbroker#getting-it';
// Programs cannot be started inside of Electron's archive.
const ASAR = /\.asar(?=[\\/])/;

// In a bundle, this module has the name of that.
const isBundled = typeof __filename === 'undefined' || basename(__filename) !== 'find.js';

function findProgram() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@peerbroker/${platform}`;
  if (!(name in optionalDependencies)) throw new Error(`npm has no program of peerbroker for ${platform}: ${OTHER_WAYS}`);
  try {
    return programOf(name).replace(ASAR, '.asar.unpacked');
  } catch {
    throw new Error(`the package ${name} is missing${whyMissing()}`);
  }
}

function programOf(name) {
  return require.resolve(`${name}/bin/peerbroker${name.includes('/win32-') ? '.exe' : ''}`);
}

function whyMissing() {
  if (isBundled) {
    return ', because the app is bundled: leave peerbroker out of the bundle, as by esbuild --external:peerbroker or externals of webpack, '
      + 'and install it beside the bundle';
  }
  const other = Object.keys(optionalDependencies).find(isHere);
  if (other) return `, and ${other} is here: node_modules come from another platform. Install them on this one, and list them in .dockerignore`;
  return ': npm leaves it out with --omit=optional, or if the lock file was written on another platform '
    + `(https://github.com/npm/cli/issues/4828). Delete node_modules and package-lock.json and install again, ${OTHER_WAYS}`;
}

function isHere(name) {
  try {
    return Boolean(programOf(name));
  } catch {
    return false;
  }
}

/** The error of a program that cannot be started, and what to do. @param {string} path @param {any} error */
function startError(path, error) {
  return `cannot be started (${error.message})${startHint(path, error.code)}`;
}

function startHint(path, code) {
  if (/\.asar\.unpacked[\\/]/.test(path)) return '. Have Electron’s packager unpack it, with asarUnpack: ["**/node_modules/@peerbroker/**"]';
  if (code !== 'EACCES') return '';
  return `. It may not be executed: chmod +x ${path} (ZIP files and some uploads lose that), or its disk is mounted with noexec`;
}

module.exports = { findProgram, startError, OTHER_WAYS };
