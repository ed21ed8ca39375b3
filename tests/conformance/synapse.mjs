// Synapse gives its users credentials for the TURN server. coturn's client and Chromium use them as Synapse's clients do.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launchChromium } from '../../client-tests/lib/chromium.mjs';
import { scratch } from '../../client-tests/lib/scratch.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { find, freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { SECRET } from '../../client-tests/lib/turn.mjs';
import { until, within } from '../../client-tests/lib/within.mjs';
import { Skipped, below, output, pythonPackages } from './tools.mjs';

export const SYNAPSE = '1.163.2';
const DATAGRAMS = 1000;
const HOMESERVER = ['-m', 'synapse.app.homeserver'];

/** Starts a homeserver with further settings. Resolves with its URL and its process. */
async function startSynapse(settings) {
  const env = await pythonPackages('python3', `matrix-synapse==${SYNAPSE}`);
  const [cwd, port] = [scratch(), await freePort()];
  const config = join(cwd, 'homeserver.yaml');
  const words = ['-c', config, '--server-name', 'matrix.test', '--generate-config', '--report-stats=no'];
  const { code } = await output('synapse-config', 'python3', [...HOMESERVER, ...words], { env, cwd });
  if (code !== 0) throw new Error(`see ${below('synapse-config.log')}`);
  const own = join(cwd, 'own.yaml');
  const resources = [{ names: ['client'] }];
  const listeners = [{ port, bind_addresses: ['127.0.0.1'], type: 'http', resources }];
  // JSON is YAML. Nothing leaves the machine.
  writeFileSync(own, JSON.stringify({ listeners, trusted_key_servers: [], registration_shared_secret: SECRET, ...settings }));
  const child = spawn('python3', [...HOMESERVER, '-c', config, '-c', own], { env, cwd, stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  await until('Synapse to listen', () => child.exitCode !== null || fetch(`${url}/_matrix/client/versions`).then(({ ok }) => ok, () => false));
  if (child.exitCode !== null) throw new Error(`Synapse ended with ${child.exitCode}`);
  return { url, child };
}

async function ask(url, { token = '', body = undefined } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(url, { headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Registers a user, logs it in, and asks for its TURN servers. */
async function turnServerOf(url, username) {
  const register = `${url}/_synapse/admin/v1/register`;
  const { nonce } = await ask(register);
  const mac = createHmac('sha1', SECRET).update([nonce, username, SECRET, 'notadmin'].join('\0')).digest('hex');
  await ask(register, { body: { nonce, username, password: SECRET, admin: false, mac } });
  const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: username }, password: SECRET };
  const { access_token: token } = await ask(`${url}/_matrix/client/v3/login`, { body: login });
  return ask(`${url}/_matrix/client/v3/voip/turnServer`, { token });
}

/** Two pages send a text each way, through this TURN server alone. */
async function meet(browser, iceServer) {
  const [caller, callee] = await Promise.all([0, 1].map(async () => {
    const page = await (await browser.newContext()).newPage();
    await page.evaluate((iceServer) => {
      window.pc = new RTCPeerConnection({ iceServers: [iceServer], iceTransportPolicy: 'relay' });
      window.opened = new Promise((done) => { window.pc.ondatachannel = ({ channel }) => done(channel); });
      window.describe = async () => {
        await window.pc.setLocalDescription();
        while (window.pc.iceGatheringState !== 'complete') {
          await new Promise((done) => { window.pc.onicegatheringstatechange = done; });
        }
        return window.pc.localDescription.toJSON();
      };
      window.echo = async () => {
        const channel = await window.opened;
        return new Promise((done) => {
          channel.onmessage = ({ data }) => {
            channel.send(data);
            done(data);
          };
        });
      };
    }, iceServer);
    return page;
  }));
  const offer = await caller.evaluate(() => {
    window.channel = window.pc.createDataChannel('');
    window.heard = new Promise((done) => { window.channel.onmessage = ({ data }) => done(data); });
    window.channel.onopen = () => window.channel.send('hello');
    return window.describe();
  });
  const answer = await callee.evaluate(async (offer) => {
    await window.pc.setRemoteDescription(offer);
    return window.describe();
  }, offer);
  await caller.evaluate((answer) => window.pc.setRemoteDescription(answer), answer);
  const heard = Promise.all([callee.evaluate(() => window.echo()), caller.evaluate(() => window.heard)]);
  const texts = await within(`an echo through ${iceServer.urls}; the offer was ${offer.sdp}`, heard);
  if (texts.join() !== 'hello,hello') throw new Error(`${iceServer.urls}: ${texts}`);
}

export async function synapse() {
  let client;
  try {
    client = find('turnutils_uclient');
  } catch (error) {
    throw new Skipped(error.message);
  }
  const secret = join(scratch(), 'turn-secret');
  writeFileSync(secret, SECRET, { mode: 0o600 });
  const port = await freePort();
  const server = await startServer(['--turn', `127.0.0.1:${port}`, '--turn_secret_file', secret, '--root_key', 'peerjs'], { tls: true });
  const uris = {
    UDP: `turn:127.0.0.1:${port}?transport=udp`,
    TCP: `turn:127.0.0.1:${port}?transport=tcp`,
    TLS: `turns:127.0.0.1:${server.port}?transport=tcp`,
  };
  const turn = { turn_uris: Object.values(uris), turn_shared_secret_path: secret, turn_user_lifetime: '1h' };
  let homeserver;
  let browser;
  try {
    homeserver = await startSynapse(turn);
    const { username, password, ttl, uris: told } = await turnServerOf(homeserver.url, 'anna');
    if (ttl !== 3600 || told.join() !== turn.turn_uris.join()) throw new Error(`Synapse tells ${ttl} s, ${told}`);
    browser = await launchChromium({}, { args: ['--ignore-certificate-errors'] });
    for (const [way, flags] of Object.entries({ UDP: [], TCP: ['-t'], TLS: ['-t', '-S'] })) {
      const at = new URL(uris[way].replace(/^turns?:/, 'http://')).port;
      const words = ['-u', username, '-w', password, '-c', '-y', '-m', '2', '-l', '500', '-n', `${DATAGRAMS}`, '-p', at, ...flags, '127.0.0.1'];
      const { text } = await output(`synapse-${way}`, client, words);
      if (!/Total lost packets 0 /.test(text)) throw new Error(`${way}: ${text}`);
      await meet(browser, { urls: uris[way], username, credential: password });
    }
    return `${2 * DATAGRAMS} datagrams and none lost by coturn's client, and data each way in Chromium, over each of UDP, TCP, TLS at the port of HTTPS`;
  } finally {
    homeserver?.child.kill();
    await Promise.all([browser?.close(), server.stop()]);
  }
}
