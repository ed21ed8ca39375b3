// Programs and modules of npm, Debian and crates.io that the suites run.

import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
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

/** Builds our program with peerjs-go, once. */
export const peerjsGoProgram = () => once('peerjs-go', buildPeerjsGo);

/** Where Debian has packages of Go, those of later versions without a number. */
const GOCODE = '/usr/share/gocode';
const inGocode = (name) => join(GOCODE, 'src/github.com', name);

const buildPion = (name) => buildGo(`pion-${name}`, join('pion', name, 'main.go'), { needs: ['pion/webrtc'] });

async function buildPeerjsGo() {
  const path = below('peerjs-go');
  const sources = {
    'muka/peerjs-go': process.env.PEERJS_GO_SOURCE ?? below('peerjs-go-source'),
    'chuckpreslar/emission': process.env.EMISSION_SOURCE ?? below('emission-source'),
    'pion/webrtc/v3': inGocode('pion/webrtc'),
  };
  rmSync(path, { recursive: true, force: true });
  for (const [name, source] of Object.entries(sources)) {
    if (!existsSync(source)) throw new Skipped(`there is no ${source}: tests/conformance/README.md says where it comes from`);
    const link = join(path, 'src/github.com', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(source, link);
  }
  return buildGo('peerjs-go-peer', 'peerjs_go/main.go', { needs: ['gorilla/websocket', 'sirupsen/logrus'], path });
}

/** Builds a program of ours with packages of Debian, and of a `path`. */
async function buildGo(name, file, { needs, path = GOCODE }) {
  const missing = needs.find((need) => !existsSync(inGocode(need)));
  if (missing) throw new Skipped(`${missing} is missing: scripts/setup.sh stacks`);
  const program = below(name);
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: [path, GOCODE].join(delimiter), GOCACHE: below('go'), GOFLAGS: '' };
  const { code, text } = await output(`${name}-build`, 'go', ['build', '-o', program, join(import.meta.dirname, file)], { env });
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
