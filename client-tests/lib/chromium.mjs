import { chromium } from 'playwright-core';

/** Starts Chromium. `names` are host names, or hosts with ports, and what is meant on this machine. */
export function launchChromium(names = {}) {
  const ours = Object.entries(names).map(([name, target]) => `MAP ${name} ${target}, `);
  return chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      // Plain host candidates: nothing resolves *.local here, and there may be no interface
      // but loopback.
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      '--allow-loopback-in-peer-connection',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required',
      // Nothing leaves the machine.
      `--host-resolver-rules=${ours.join('')}MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}
