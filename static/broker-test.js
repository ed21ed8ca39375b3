import { explain, fetchId, loadPeer } from './broker.js';
import { peerOptions } from './settings.js';
import { within } from './within.js';

const SOCKET_WAIT = 10_000;
const ANSWER_WAIT = 10_000;
const DATA_WAIT = 20_000;
const ROUND_TRIPS = 7;

const NO_DIRECT_WAY =
  'The broker works, but the peers found no direct connection. The cause is this browser or its ' +
  'network: look for extensions, a VPN or a policy that limits WebRTC.';

/**
 * Opens two peers with this key in this page and connects them through the broker.
 * Calls `report(step, state, detail)` for each step, with its name, `running`,
 * `ok` or `failed`, and a text for people. Resolves to whether all steps passed.
 */
export async function testBroker(report, key) {
  const peers = [];

  async function step(name, work) {
    report(name, 'running', '');
    try {
      const { result, detail } = await work();
      report(name, 'ok', detail);
      return result;
    } catch (error) {
      report(name, 'failed', error.type ? explain(error) : error.message);
      throw error;
    }
  }

  async function openPeer(id) {
    const Peer = await loadPeer();
    const started = performance.now();
    const peer = new Peer(id, { ...peerOptions, key });
    peers.push(peer);
    const opened = new Promise((resolve, reject) => {
      peer.once('open', resolve);
      peer.on('error', reject);
    });
    await within(
      SOCKET_WAIT,
      opened,
      'The broker did not answer the new peer in time. A proxy in front of it may block WebSockets.',
    );
    return { result: peer, detail: milliseconds(performance.now() - started) };
  }

  try {
    const id = await step('id', async () => {
      await loadPeer();
      const result = await fetchId(key);
      return { result, detail: `${result.slice(0, 8)}…` };
    });
    const a = await step('peer-a', () => openPeer(id));
    const b = await step('peer-b', async () => openPeer(await fetchId(key)));
    b.on('connection', echo);

    const link = await step('introduce', async () => {
      const started = performance.now();
      const result = a.connect(b.id, { reliable: true, serialization: 'json' });
      await within(
        ANSWER_WAIT,
        answered(a, result),
        'Peer B’s answer did not arrive. The WebSockets are open, but messages are not delivered.',
      );
      return { result, detail: milliseconds(performance.now() - started) };
    });

    await step('direct', async () => {
      const times = await within(DATA_WAIT, measure(link), NO_DIRECT_WAY);
      return { detail: `${milliseconds(median(times))} round trip` };
    });
    return true;
  } catch {
    return false;
  } finally {
    for (const peer of peers) peer.destroy();
  }
}

function echo(connection) {
  connection.on('data', (data) => connection.send(data));
}

function answered(peer, connection) {
  return new Promise((resolve, reject) => {
    peer.on('error', reject);
    const { peerConnection } = connection;
    peerConnection.addEventListener('signalingstatechange', () => {
      if (peerConnection.signalingState === 'stable') resolve();
    });
  });
}

async function measure(connection) {
  if (!connection.open) {
    await new Promise((resolve, reject) => {
      connection.once('open', resolve);
      connection.once('error', () => reject(new Error(NO_DIRECT_WAY)));
    });
  }
  const times = [];
  for (let number = 1; number <= ROUND_TRIPS; number += 1) {
    const started = performance.now();
    const returned = new Promise((resolve) => connection.once('data', resolve));
    connection.send({ number });
    await returned;
    times.push(performance.now() - started);
  }
  return times;
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const milliseconds = (time) => (time < 10 ? `${time.toFixed(1)} ms` : `${Math.round(time)} ms`);
