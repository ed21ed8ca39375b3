// Programs and modules of npm, Debian and crates.io that the suites run.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Skipped, below, npmPackages, output } from './tools.mjs';

export const WERIFT = 'werift@0.25.2';
export const LIBJUICE = 'node-datachannel@0.33.4';

/** Not every distribution has the browsers that `make setup` installs. */
export function need(...browsers) {
  const missing = browsers.find((browser) => !existsSync(browser));
  if (missing) throw new Skipped(`there is no ${missing}`);
}

const inPackage = async (name, file) => join(await npmPackages(name.replace('@', '-'), name), 'node_modules', name.split('@')[0], file);

export const weriftModule = () => inPackage(WERIFT, 'lib/index.mjs');
export const libjuiceModule = () => inPackage(LIBJUICE, 'dist/esm/polyfill/index.mjs');

const built = new Map();

function once(name, build) {
  if (!built.has(name)) built.set(name, build());
  return built.get(name);
}

/** Builds one of our programs with the Pion of Debian, once: `turn` or `peer`. */
export const pionProgram = (name) => once(`pion ${name}`, () => buildPion(name));

/** Builds our program with Matchbox's socket, or with str0m, once. */
export const matchboxProgram = () => once('matchbox', () => buildPeer('matchbox'));
export const str0mProgram = () => once('str0m', () => buildPeer('str0m'));

async function buildPion(name) {
  const packages = '/usr/share/gocode';
  if (!existsSync(join(packages, 'src/github.com/pion/webrtc'))) {
    throw new Skipped('Pion is missing: apt-get install golang-go golang-github-pion-webrtc.v3-dev');
  }
  const program = below(`pion-${name}`);
  const source = join(import.meta.dirname, 'pion', name, 'main.go');
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: packages, GOCACHE: below('go'), GOFLAGS: '' };
  const { code, text } = await output(`pion-${name}-build`, 'go', ['build', '-o', program, source], { env });
  if (code !== 0) throw new Error(`go: ${text}`);
  return program;
}

/** Builds a peer of ours in Rust, whose folder has this name. The first time takes minutes. */
async function buildPeer(name) {
  const target = below(name);
  const manifest = join(import.meta.dirname, name, 'Cargo.toml');
  const cargo = (verb, ...words) => output(`${name}-${verb}`, 'cargo', [verb, '--locked', '--quiet', '--manifest-path', manifest, ...words]);
  const fetched = await cargo('fetch');
  if (fetched.code !== 0) throw new Skipped(`cargo cannot fetch the packages of ${name}: ${fetched.text.trim().split('\n').at(-1)}`);
  const { code, text } = await cargo('build', '--target-dir', target);
  if (code !== 0) throw new Error(`cargo: ${text}`);
  return join(target, `debug/${name}-peer`);
}

/** The Python of Debian, which has the bindings of GStreamer, whose ICE agent is libnice. */
export async function gstreamerPython() {
  const python = '/usr/bin/python3';
  const script = 'import gi; gi.require_version("GstWebRTC", "1.0"); from gi.repository import Gst; Gst.init(); '
    + 'assert Gst.ElementFactory.find("webrtcbin") and Gst.ElementFactory.find("nicesink")';
  if (!existsSync(python) || (await output('gstreamer', python, ['-c', script])).code !== 0) {
    throw new Skipped('libnice is missing: apt-get install python3-gi gstreamer1.0-nice gstreamer1.0-plugins-bad gir1.2-gst-plugins-bad-1.0');
  }
  return python;
}
