// Makes one script or module of a module and all that it imports.

import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

// Runs wherever PeerJS 1.5.5 does: in Chrome 83, Firefox 80 and Safari 15.0.
const target = 'es2020';
const keepNames = { class: true, function: false };
const own = fileURLToPath(new URL('older-browsers.js', import.meta.url));
/** @type {Record<string, [string, string]>} */
const inject = { 'Object.hasOwn': [own, 'hasOwn'], 'AbortSignal.timeout': [own, 'timeout'] };
const instead = fileURLToPath(new URL('without-dom.js', import.meta.url));
const dom = ['DOMException', 'Event', 'EventTarget', 'MessageChannel', 'MessageEvent', 'TextDecoder', 'TextEncoder'];
/** @type {Record<string, [string, string]>} */
const injectWithoutDom = { ...inject, ...Object.fromEntries(dom.map((name) => [name, [instead, name]])) };

/**
 * @param {string} input
 * @param {{ name?: string, format?: 'iife' | 'es' | 'cjs', globals?: Record<string, string>, sourcemap?: 'inline', hasDom?: boolean }} options `name` is the global that a script sets for its
 * exports. A module in `globals` is a script of its own in pages, which sets that global.
 */
export async function bundle(input, { name = undefined, format = 'iife', globals = {}, sourcemap = undefined, hasDom = true } = {}) {
  const built = await rolldown({ input, platform: 'browser', external: Object.keys(globals), transform: { target, inject: hasDom ? inject : injectWithoutDom } });
  const minify = { compress: { target, keepNames }, mangle: { keepNames } };
  const { output } = await built.generate({ format, name, globals, minify, sourcemap });
  return output[0].code;
}
