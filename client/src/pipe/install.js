// Makes RTCPeerConnection what a page needs: `install({ broker: 'https://broker.example/' })`, before anything looks for WebRTC.

import { PIPES, enable } from './enable.js';
import { engine, source } from './engine.js';
import { settingsFrom } from './settings.js';

/** @param {Parameters<typeof settingsFrom>[0]} options `broker` is the address of the broker with its path */
export function install(options) {
  const settings = settingsFrom(options);
  const known = globalThis[PIPES];
  known?.use(settings);
  if (known) known.arrived(engine);
  else enable(settings, source);
}
