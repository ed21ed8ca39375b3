// A peer of a stack that has the API of browsers: werift, or libjuice in node-datachannel. See signalling.mjs.

import { createInterface } from 'node:readline';

const { module, config, isCaller, messages } = JSON.parse(process.argv[2]);
const { RTCPeerConnection } = await import(module);

const say = (message) => console.log(JSON.stringify(message));
const text = (number) => `${number} `.padEnd(number, 'x');

const connection = new RTCPeerConnection(config);
connection.onicecandidate = ({ candidate }) => candidate?.candidate && say({ candidate: candidate.candidate.replace(/^a=/, '') });

async function describe(description) {
  await connection.setLocalDescription(description);
  const { type, sdp } = connection.localDescription;
  say({ type, sdp });
}

let onDescribed;
const described = new Promise((resolve) => { onDescribed = resolve; });
createInterface(process.stdin).on('line', async (line) => {
  const { candidate, ...description } = JSON.parse(line);
  if (candidate) {
    await described;
    return connection.addIceCandidate({ candidate, sdpMLineIndex: 0 });
  }
  await connection.setRemoteDescription(description);
  onDescribed();
  if (!isCaller) await describe(await connection.createAnswer());
});

if (isCaller) {
  const channel = connection.createDataChannel('data');
  let number = 0;
  channel.onopen = () => channel.send(text(number));
  channel.onmessage = ({ data }) => {
    if (data !== text(number)) throw new Error(`${data} instead of ${text(number)}`);
    number += 1;
    if (number === messages) return say({ done: number });
    channel.send(text(number));
  };
  await describe(await connection.createOffer());
} else {
  connection.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(data);
  };
}
