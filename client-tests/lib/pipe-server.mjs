// The broker's endpoint of pipes for tests of webrtc.js, with what a network or an attacker may do to frames. It counts the pages that come
// to the endpoint of a real broker, too.

import { once } from 'node:events';
import http from 'node:http';
import { WebSocketServer } from 'ws';

/** Close codes of the endpoint. */
const [REPLACED, NOBODY, LEFT, REFUSED] = [4001, 4010, 4011, 4014];

/** With so many bytes that wait for one end, the other is not read. */
const FULL = 65_536;

/**
 * @param {{ away?: number, isOwn?: boolean, serve?: http.RequestListener, upgrade?: (request: http.IncomingMessage, socket: any) => void }} options
 * An end may be `away` for so many milliseconds. `serve` and `upgrade` answer what is not for a pipe; with `isOwn` false, pipes too.
 */
export async function startPipeServer({
  away = 30_000,
  isOwn = true,
  serve = (_, response) => response.writeHead(404).end(),
  upgrade = (_, socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'),
} = {}) {
  const server = http.createServer(serve);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 65_536 });
  const pipes = new Map();
  const host = new PipeServer(server, pipes);

  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url, 'http://localhost');
    const id = url.pathname.match(/\/pipe\/([\w-]{22})$/)?.[1];
    const end = url.searchParams.get('end');
    if (host.isClosed) {
      host.turnedAway += 1;
      socket.destroy();
      return;
    }
    const isOfPipe = id && end;
    if (isOfPipe) host.requests.push(url);
    if (!isOfPipe || !isOwn) {
      upgrade(request, socket);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (host.refuses) {
        webSocket.close(REFUSED, 'Pipes are off');
        return;
      }
      if (!pipes.has(id)) pipes.set(id, new Pipe(host, away, () => pipes.delete(id)));
      pipes.get(id).join(end, webSocket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  host.url = `http://127.0.0.1:${server.address().port}/`;
  return host;
}

class PipeServer {
  requests = [];
  refuses = false;
  /** True if no socket finds the server any more. */
  isClosed = false;
  /** Sockets that found it closed. */
  turnedAway = 0;
  /** What happens to frames on their way: gets a frame and its pipe, and returns those that arrive. @type {(frame: Buffer, pipe: object) => Buffer[]} */
  meddle = (frame) => [frame];
  /** True if frames get lost without a word, as in a network that is gone. */
  isSilent = false;
  /** How often both ends of a pipe were there. */
  openings = 0;
  url = '';
  #server;
  #sockets = new Set();
  /** Answers for which pages wait, and do nothing. @type {http.ServerResponse[]} */
  held = [];
  /** Sockets of pages at the endpoint of a broker. @type {Set<import('node:stream').Duplex>} */
  #passed = new Set();

  constructor(server, pipes) {
    this.#server = server;
    server.on('connection', (socket) => this.#sockets.add(socket));
    this.pipes = pipes;
  }

  /** Counts the openings of a broker's pipes, each of which it says to both ends. */
  watch(page, broker) {
    this.#passed.add(page);
    page.on('close', () => this.#passed.delete(page));
    broker.on('data', (bytes) => {
      if (bytes.includes('{"type":"OPEN"')) this.openings += 1 / 2;
    });
  }

  /** Loses a socket of each pipe, as when its network is gone, with what waits for it. */
  drop(turn) {
    for (const pipe of this.pipes.values()) pipe.drop(turn);
    [...this.#passed][turn % 2]?.destroy();
  }

  async stop() {
    for (const pipe of this.pipes.values()) clearTimeout(pipe.timer);
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }
}

class Pipe {
  #host;
  #away;
  #over;
  #ends = new Map();
  #turn = 0;
  timer;

  constructor(host, away, over) {
    this.#host = host;
    this.#away = away;
    this.#over = over;
  }

  join(end, socket) {
    if (!this.#ends.has(end) && this.#ends.size === 2) {
      socket.close(REFUSED, 'Two other ends have this pipe');
      return;
    }
    this.#ends.get(end)?.close(REPLACED, 'replaced by a newer connection');
    this.#ends.set(end, socket);
    const isCurrent = () => this.#ends.get(end) === socket;
    socket.on('message', (data, isBinary) => isCurrent() && (isBinary ? this.#pass(end, socket, data) : socket.close(1003)));
    socket.on('close', (code) => isCurrent() && this.#lost(end, code));
    socket.on('error', () => {});
    clearTimeout(this.timer);
    const here = [...this.#ends.values()].filter(Boolean);
    if (here.length === 2) {
      this.#turn += 1;
      this.#host.openings += 1;
      for (const one of here) one.send(JSON.stringify({ type: 'OPEN', turn: this.#turn }));
    } else {
      this.#wait(this.#ends.size === 2 ? LEFT : NOBODY);
    }
  }

  #other = (end) => [...this.#ends].find(([name]) => name !== end)?.[1];

  #pass(end, from, frame) {
    const to = this.#other(end);
    if (!to || this.#host.isSilent) return;
    for (const arriving of this.#host.meddle(frame, this)) {
      to.send(arriving, () => to.bufferedAmount < FULL && from.isPaused && from.resume());
    }
    if (to.bufferedAmount >= FULL) from.pause();
  }

  #lost(end, code) {
    const other = this.#other(end);
    if (code === 1000) {
      this.#end(other, LEFT);
      return;
    }
    this.#ends.set(end, undefined);
    other?.resume();
    other?.send(JSON.stringify({ type: 'WAITING' }));
    this.#wait(LEFT);
  }

  #wait(code) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#end([...this.#ends.values()].find(Boolean), code), this.#away);
  }

  #end(socket, code) {
    clearTimeout(this.timer);
    this.#ends.clear();
    this.#over();
    socket?.close(code, code === LEFT ? 'the other end has left' : 'no other end came');
  }

  drop(turn) {
    [...this.#ends.values()][turn % 2]?.terminate();
  }
}
