import { candidatesIn, guessWhy, wayIn } from '../client/connection-stats.js';
import { fetchIceServers, fetchId } from './ask-broker.js';
import { REASONS, WAYS } from './connection-words.js';
import { explain, loadPeer } from './peer.js';
import { peerOptions } from './settings.js';
import { within } from './within.js';

const SOCKET_WAIT = 10_000;
const ANSWER_WAIT = 10_000;
const DATA_WAIT = 20_000;
const ROUND_TRIPS = 7;

const NO_RELAYED_WAY =
  'The broker works, but its relay was not reached. Its UDP port must be open in all firewalls. Behind a NAT ' +
  'it needs --relay_public, and for clients of a local network --relay_private.';

const NO_DIRECT_WAY =
  'The broker works, but the peers found no direct connection. The cause is this browser or its ' +
  'network: look for extensions, a VPN or a policy that limits WebRTC. A guess: ';

const NO_WEBRTC = 'This browser has no WebRTC, so its data goes over the broker, and nothing of it through a relay.';

/** True if `RTCPeerConnection` is that of webrtc.js, which has no sound. */
const isWebRtcMissing = () => !('RTCRtpSender' in window);

/**
 * Opens two peers with this key in this page and connects them through the broker.
 * Calls `report(step, state, detail)` for each step, with its name, `running`,
 * `ok` or `failed`, and a text for people. With `relayOnly` the peers can connect only through the server's relay.
 * Resolves to the way that the data took, a name of `WAYS`; to undefined if a step failed.
 */
export async function testBroker(report, key, { relayOnly = false } = {}) {
  const peers = [];
  const noRelayedWay = isWebRtcMissing() ? NO_WEBRTC : NO_RELAYED_WAY;
  const noWay = ({ localDescription, remoteDescription }) =>
    (relayOnly ? noRelayedWay : `${NO_DIRECT_WAY}${REASONS[guessWhy({}, { localDescription, remoteDescription, iceServers })]}.`);
  let iceServers = [];

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
    const Peer = await loadPeer(key);
    const started = performance.now();
    const peer = new Peer(id, { ...peerOptions, key, config: { iceServers } });
    peers.push(peer);
    if (relayOnly) withholdCandidates(peer);
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
      await loadPeer(key);
      const result = await fetchId(key);
      if (!relayOnly) iceServers = await fetchIceServers(key);
      return { result, detail: `${result.slice(0, 8)}…` };
    });
    const a = await step('peer-a', () => openPeer(id));
    const b = await step('peer-b', async () => openPeer(await fetchId(key)));
    const arrived = new Promise((resolve) => b.once('connection', resolve));
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

    return await step('direct', async () => {
      // PeerJS forgets it when it closes it.
      const { peerConnection } = link;
      const why = () => noWay(peerConnection);
      const times = await within(DATA_WAIT, measure(link, why), why);
      const way = await wayOf(peerConnection, (await arrived).peerConnection);
      if (relayOnly && way !== 'relay') throw new Error(why());
      return { result: way, detail: `${WAYS[way]}, ${milliseconds(median(times))}` };
    });
  } catch {
    return undefined;
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

/** The page sees what both ends sent and received. So it knows which candidates the server added: those of its relay, on whichever node. */
async function wayOf(sender, recipient) {
  const own = new Set(candidatesIn(recipient.localDescription).map(({ place }) => place));
  const received = candidatesIn(sender.remoteDescription).map(({ place }) => place);
  return wayIn(await sender.getStats(), new Set(received.filter((place) => !own.has(place))));
}

/** Stops the peer from sending its own candidates, so that its connections have only those that the server adds. */
function withholdCandidates(peer) {
  const { socket } = peer;
  const send = socket.send.bind(socket);
  socket.send = (message) => {
    if (message.type !== 'CANDIDATE') send(message);
  };
}

async function measure(connection, noWay) {
  if (!connection.open) {
    await new Promise((resolve, reject) => {
      connection.once('open', resolve);
      connection.once('error', () => reject(new Error(noWay())));
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
