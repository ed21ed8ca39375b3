// Runs in pages of tests of webrtc.js, without a library of peers: one connection, whose descriptions the test hands over; or simple-peer.

window.harness = (() => {
  const { record, next, must, count, story, order } = window.log;
  const channels = [];
  let connection;
  let peer;

  const STATES = ['signalingState', 'iceGatheringState', 'iceConnectionState', 'connectionState'];

  function watch(channel) {
    const number = channels.push(channel) - 1;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('open', () => record(`open ${number}`, channel.label));
    channel.addEventListener('closing', () => record(`closing ${number}`));
    channel.addEventListener('close', () => record(`closed ${number}`));
    channel.addEventListener('error', ({ error }) => record(`error ${number}`, error?.message));
    channel.addEventListener('message', ({ data }) => hear(number, channel, data));
    return number;
  }

  const received = [];
  /** What a page does with each message: keep it, or send it back. */
  let answer = 'keep';

  function hear(number, channel, data) {
    if (answer === 'echo') channel.send(data);
    else if (answer === 'hash') {
      hashed.push(new Uint8Array(data));
      arrived += data.byteLength;
      hashMore();
    } else (received[number] ??= []).push(typeof data === 'string' ? data : data.byteLength);
    record(`heard ${number}`, typeof data === 'string' ? data.slice(0, 100) : data.byteLength);
  }

  const hashed = [];
  let arrived = 0;
  let hashMore = () => {};

  /** A new connection with these channels, each a label or `[label, options]`. */
  function make(labels = []) {
    connection = new RTCPeerConnection({ iceServers: [] });
    for (const state of STATES) {
      connection.addEventListener(`${state.toLowerCase()}change`, () => record(state, connection[state]));
    }
    connection.addEventListener('pipe', () => record('pipe'));
    connection.addEventListener('datachannel', ({ channel }) => {
      record('datachannel', `${channel.label} ${channel.readyState}`);
      watch(channel);
    });
    return labels.map((label) => watch(connection.createDataChannel(...[label].flat())));
  }

  const gathered = () => new Promise((done) => {
    const look = () => {
      if (connection.iceGatheringState === 'complete') done(connection.localDescription.toJSON());
    };
    connection.addEventListener('icegatheringstatechange', look);
    look();
  });

  async function offer() {
    await connection.setLocalDescription(await connection.createOffer());
    return gathered();
  }

  async function accept(description) {
    await connection.setRemoteDescription(description);
    if (description.type === 'answer') return undefined;
    await connection.setLocalDescription(await connection.createAnswer());
    return gathered();
  }

  function send({ number = 0, texts }) {
    texts.forEach((text) => channels[number].send(text));
  }

  function act(what) {
    answer = what;
  }

  /** Sends so many bytes in messages of 64 KiB, with backpressure; resolves with their hash. */
  async function sendFile(size) {
    const channel = channels[0];
    const part = 65_536;
    channel.bufferedAmountLowThreshold = 1_048_576;
    const all = new Uint8Array(size);
    for (let at = 0; at < size; at += part) all.subarray(at, at + part).set(crypto.getRandomValues(new Uint8Array(Math.min(part, size - at))));
    const began = performance.now();
    for (let at = 0; at < size; at += part) {
      channel.send(all.subarray(at, at + part));
      if (channel.bufferedAmount > 4_194_304) await new Promise((low) => { channel.onbufferedamountlow = low; });
    }
    while (channel.bufferedAmount > 0) await new Promise((again) => { setTimeout(again, 1); });
    return { hash: await hashOf(all), seconds: (performance.now() - began) / 1000 };
  }

  const hashOf = async (bytes) => btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))));

  let file;

  function startFile(size) {
    file = sendFile(size);
  }

  const sent = () => file;

  /** The bytes of a file that have come, once they are more than these. */
  async function more(than) {
    while (arrived <= than) await new Promise((done) => { hashMore = () => done(undefined); });
    return arrived;
  }

  async function fileHash(size) {
    const all = new Uint8Array(size);
    let at = 0;
    for (const part of hashed) {
      all.set(part, at);
      at += part.length;
    }
    return hashOf(all);
  }

  /** The page does nothing until the test's server answers. */
  function hang() {
    const request = new XMLHttpRequest();
    request.open('GET', '/hold', false);
    request.send();
  }

  const addSound = () => {
    connection.addTransceiver('audio');
  };

  const states = () => Object.fromEntries(STATES.map((state) => [state, connection[state]]));
  const list = () => channels.map(({ label, readyState, id, bufferedAmount }) => ({ label, readyState, id, bufferedAmount }));
  const kinds = async () => [...(await connection.getStats()).values()].map(({ type }) => type);
  const heard = (number) => received[number] ?? [];
  const closeChannel = (number) => channels[number].close();
  const close = () => connection.close();

  /** Closes a connection that fails, as libraries do. */
  function closeWhenFailed() {
    connection.addEventListener('connectionstatechange', () => connection.connectionState === 'failed' && connection.close());
  }

  /** simple-peer, whose signals the test hands over. */
  function meet(initiator) {
    peer = new SimplePeer({ initiator, trickle: false, config: { iceServers: [] } });
    peer.on('signal', (signal) => record('signal', signal));
    peer.on('connect', () => record('connected'));
    peer.on('data', (bytes) => record('data', new TextDecoder().decode(bytes)));
    peer.on('close', () => record('lost'));
    peer.on('error', ({ message }) => record('trouble', message));
    connection = peer._pc;
  }

  const signal = (what) => peer.signal(what);
  const say = (text) => peer.send(text);
  const leave = () => peer.destroy();

  return {
    next, must, count, story, order, closeWhenFailed, make, addSound, offer, accept, send, act, startFile, sent, more, fileHash, states, list, kinds, heard, closeChannel, close, hang, meet, signal, say, leave,
  };
})();
