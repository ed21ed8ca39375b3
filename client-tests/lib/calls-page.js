// Runs in the pages that call each other with only RTCPeerConnection and a WebSocket, like the code
// of tutorials.

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  let socket;
  let connection;
  let remoteId;
  // Candidates may arrive while their description is still being processed.
  let settled = Promise.resolve();
  const inTurn = (work) => { settled = settled.then(work).catch((error) => record('error', error.message)); };

  const send = (action, data) => socket.send(JSON.stringify({ action, data }));

  const heard = {
    start: ({ id }) => record('id', id),
    offer: ({ data }) => inTurn(() => answer(data)),
    answer: ({ data }) => inTurn(() => connection.setRemoteDescription(data.answer)),
    iceCandidate: ({ data }) => inTurn(() => connection.addIceCandidate(data.candidate)),
  };

  /** Resolves with the id that the server gives. */
  async function enter(url) {
    socket = new WebSocket(url);
    socket.onopen = () => send('start');
    socket.onclose = () => record('close');
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (heard[message.action]) heard[message.action](message);
      else record(message.action, data);
    };
    return must('id');
  }

  async function prepare(other) {
    remoteId = other;
    connection = new RTCPeerConnection({ iceServers: [] });
    connection.onicecandidate = ({ candidate }) => {
      if (candidate) send('iceCandidate', { remoteId, candidate });
    };
    connection.ontrack = ({ track, streams: [stream] }) => {
      if (track.kind === 'video') window.log.watch(stream);
    };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } });
    for (const track of stream.getTracks()) connection.addTrack(track, stream);
  }

  async function call(other) {
    await prepare(other);
    const offer = await connection.createOffer();
    await connection.setLocalDescription(offer);
    send('offer', { remoteId, offer });
  }

  async function answer(data) {
    record('call', data.remoteId);
    await prepare(data.remoteId);
    await connection.setRemoteDescription(data.offer);
    const answer = await connection.createAnswer();
    await connection.setLocalDescription(answer);
    send('answer', { remoteId, answer });
  }

  /** The kinds of media that were sent and that were received. */
  async function media() {
    const reports = [...(await connection.getStats()).values()];
    const kinds = (type, bytes) => reports.filter((report) => report.type === type && report[bytes] > 0).map(({ kind }) => kind).sort();
    return { sent: kinds('outbound-rtp', 'bytesSent'), received: kinds('inbound-rtp', 'bytesReceived') };
  }

  /** Sends a frame unchanged. */
  const say = ({ action, data }) => send(action, data);

  return { next, must, count, story, enter, call, media, say };
})();
