// The broker's endpoint of pipes for tests of webrtc.js, with what a network or an attacker may do to frames.

import { once } from 'node:events';
import http from 'node:http';
import { WebSocketServer } from 'ws';

/** Close codes of the endpoint. */
const [REPLACED, THIRD, NOBODY, LEFT, REFUSED] = [4000, 4001, 4002, 4003, 4006];

/** With so many bytes that wait for one end, the other is not read. */
const FULL = 65_536;

/**
 * @param {{ away?: number, serve?: http.RequestListener, upgrade?: (request: http.IncomingMessage, socket: any) => void }} options
 * An end may be `away` for so many milliseconds. `serve` and `upgrade` answer what is not for a pipe.
 */
export async function startPipeServer({
  away = 30_000,
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
      socket.destroy();
      return;
    }
    if (!id || !end) {
      upgrade(request, socket);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      host.requests.push(url);
      if (host.refuses) {
        webSocket.close(REFUSED, 'pipes are off');
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
  /** What happens to frames on their way: gets a frame and returns those that arrive. @type {(frame: Buffer) => Buffer[]} */
  meddle = (frame) => [frame];
  /** True if frames get lost without a word, as in a network that is gone. */
  isSilent = false;
  /** How often both ends of a pipe were there. */
  openings = 0;
  url = '';
  #server;
  #sockets = new Set();

  constructor(server, pipes) {
    this.#server = server;
    server.on('connection', (socket) => this.#sockets.add(socket));
    this.pipes = pipes;
  }

  /** Loses a socket of each pipe, as when its network is gone, with what waits for it. */
  drop(turn) {
    for (const pipe of this.pipes.values()) pipe.drop(turn);
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
      socket.close(THIRD, 'this pipe has two ends');
      return;
    }
    this.#ends.get(end)?.close(REPLACED, 'replaced');
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
    for (const arriving of this.#host.meddle(frame)) {
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
