// Browsers on a machine of a test's network, controlled from outside.

import { execFileSync, spawn } from 'node:child_process';
import net from 'node:net';
import { chromium } from 'playwright-core';
import { CHROMIUM, UNWANTED, quiet } from '../chromium.mjs';
import { FIREFOX, launchFirefox, makeProfile } from '../firefox.mjs';
import { listen } from '../listen.mjs';

/**
 * Starts a browser on a machine. `origin` is where its pages come from: it may use the camera, though it is not secure.
 * Unless `plainAddresses`, the browser hides its addresses behind mDNS names, as it does for everybody.
 * With `trustsAll`, Chromium takes any certificate. `authority` is the file of one that Firefox trusts.
 */
export function launchOn(machine, browser, { origin, plainAddresses = false, trustsAll = false, authority = undefined }) {
  const start = { chromium: startChromium, firefox: startFirefox }[browser];
  return start(machine, { origin, plainAddresses, trustsAll, authority });
}

async function startChromium(machine, { origin, plainAddresses, trustsAll }) {
  const unwanted = UNWANTED.filter((feature) => plainAddresses || feature !== 'WebRtcHideLocalIpsWithMdns');
  const browser = await chromium.launch({
    // Playwright speaks to it over pipes, which lead through any namespace.
    executablePath: machine.wrapper(CHROMIUM),
    args: [
      ...quiet,
      `--disable-features=${unwanted.join()}`,
      `--unsafely-treat-insecure-origin-as-secure=${origin}`,
      ...(trustsAll ? ['--ignore-certificate-errors'] : []),
    ],
  });
  return {
    newPage: () => browser.newPage(),
    close: () => browser.close(),
  };
}

async function startFirefox(machine, { plainAddresses, authority }) {
  const door = await openDoor(machine);
  const profile = makeProfile();
  if (authority) trust(authority, profile);
  try {
    const browser = await launchFirefox(
      {
        'media.devices.insecure.enabled': true,
        'media.getusermedia.insecure.enabled': true,
        'media.peerconnection.ice.obfuscate_host_addresses': !plainAddresses,
      },
      { executablePath: machine.wrapper(FIREFOX), args: [`--remote-debugging-port=${door.port}`], profile },
    );
    return {
      newPage: browser.newPage,
      async close() {
        await browser.close();
        await door.stop();
      },
    };
  } catch (error) {
    await door.stop();
    throw error;
  }
}

/** Makes a certificate authority known to a profile of Firefox. */
function trust(authority, profile) {
  execFileSync('certutil', ['-A', '-d', `sql:${profile}`, '-n', 'tests', '-t', 'C,,', '-i', authority]);
}

/** A port of this machine that leads to the same port of loopback on another machine. */
async function openDoor(machine) {
  const listener = net.createServer((socket) => {
    const script = `const to = net.connect(${socket.localPort}, '127.0.0.1'); process.stdin.pipe(to).pipe(process.stdout);`;
    const [program, words] = machine.command(process.execPath, '-e', script);
    const passage = spawn(program, words, { stdio: ['pipe', 'pipe', 'ignore'] });
    socket.pipe(passage.stdin).on('error', () => socket.destroy());
    passage.stdout.pipe(socket).on('error', () => passage.kill());
    socket.on('close', () => passage.kill());
    passage.on('close', () => socket.destroy());
  });
  return listen(listener);
}
