// `PeerServer` and `ExpressPeerServer`, as those of npm's `peer` 1.x: this process passes requests and upgrades to the program.
'use strict';

const { randomBytes } = require('node:crypto');
const { EventEmitter } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { clientAddress, trusts } = require('./addresses.js');
const { Client, Socket } = require('./client.js');
const { corsOf } = require('./cors.js');
const { Program } = require('./program.js');
const { share } = require('./shared.js');

const LOOPBACK = '127.0.0.1';
// The own id of a client, the list of ids, and the ICE servers, below a key.
const RESOURCE = /^([^/]+)\/(id|peers|ice)\/?$/;
const WEBSOCKET = 'peerjs';
// The settings of the program among the options, with the unit of a number.
const SETTINGS = { allow_discovery: '', concurrent_limit: '', expire_timeout: 'ms', alive_timeout: 'ms' };
const IDS_TRIED = 100;
const PAST = 1000;
// A path with a parameter is as many as clients like.
const MOST_MOUNTS = 100;
// Those of this hop, and those that this process sets itself.
const OWN_HEADERS = /^(connection|keep-alive|transfer-encoding|date|access-control-.*|vary)$/i;
const FORWARDED = /^(forwarded|x-forwarded-for)$/i;
// Of a body, which no request has that goes on.
const OF_BODY = /^(content-length|transfer-encoding|expect|upgrade)$/;

class Broker {
  constructor(server, options, events, mounts) {
    this.options = options;
    this.events = events;
    this.key = options.key ?? 'peerjs';
    this.path = joined(options.path ?? '/');
    this.setCors = corsOf(options.corsOptions);
    this.isTrusted = trusts(options.proxied);
    /** @type {Map<string, InstanceType<typeof Client>>} */
    this.clients = new Map();
    /** Lines of the program that wait for an earlier one. */
    this.waiting = [];
    /** Connections that have ended lately. */
    this.past = new Set();
    this.agent = new http.Agent({ keepAlive: true });
    /** The paths of the apps that it is mounted in, each by a function, because those may be mounted later. */
    this.mounts = mounts;
    // Other users of this machine reach the program's port too: without this, it believes nothing about addresses.
    this.secret = randomBytes(32).toString('hex');
    const environment = { PEERBROKER_PROXY_SECRET: this.secret };
    this.program = new Program(argumentsOf(options, this.key), environment, (line) => this.told(line), (why) => this.ended(why));
    this.listenFor();
    share(server, this);
  }

  // The life of the program.

  start() {
    this.program.start();
  }

  stop() {
    this.program.stop();
  }

  ended(why) {
    this.waiting = [];
    this.past.clear();
    for (const client of [...this.clients.values()]) this.gone(client);
    if (why && !this.fail(why)) process.emitWarning(why.message);
  }

  /** Emits an error, if there is a listener: without one, it would end the app. */
  fail(error) {
    return this.events.listenerCount('error') > 0 && this.events.emit('error', error);
  }

  // Clients and their texts.

  told(line) {
    if (line.event === 'connected') {
      this.connected(line);
    } else if (line.event === 'clients') {
      // Some events are lost.
      const present = new Set(line.clients.map(({ id }) => id));
      this.waiting = [];
      for (const client of [...this.clients.values()]) if (!present.has(client.id)) this.gone(client);
      for (const client of line.clients) this.connected(client);
    } else {
      this.waiting.push(line);
    }
    this.settle();
  }

  /** Handles texts and ends in their order. */
  settle() {
    while (this.waiting.length > 0) {
      const [{ event, id, connection, text }] = this.waiting;
      const client = this.clients.get(id);
      const isKnown = client?.socket.connection >= connection;
      // Another thread of the program tells who has connected, a few milliseconds later, and who has gone perhaps earlier.
      if (event === 'text' && !isKnown && !this.past.has(connection)) return;
      this.waiting.shift();
      if (event === 'text') {
        if (isKnown) this.heard(client, text);
        continue;
      }
      this.past.add(connection);
      if (this.past.size > PAST) this.past.delete(this.past.values().next().value);
      if (client?.socket.connection === connection) this.gone(client);
    }
  }

  connected({ id, token, connection }) {
    let client = this.clients.get(id);
    if (client && client.socket.connection >= connection) return;
    if (client && client.token !== token) this.gone(client);
    client = this.clients.get(id) ?? new Client(id, token);
    client.socket?.end();
    client.socket = new Socket(this.program, id, connection);
    this.clients.set(id, client);
    this.events.emit('connection', client);
  }

  gone(client) {
    this.clients.delete(client.id);
    client.socket.end();
    this.events.emit('disconnect', client);
  }

  heard(client, text) {
    let message;
    try {
      message = JSON.parse(text);
      if (typeof message !== 'object' || message === null) throw new SyntaxError(`no JSON object: ${text.slice(0, 100)}`);
    } catch (error) {
      return this.fail(error);
    }
    message.src = client.id;
    try {
      this.events.emit('message', client, message);
    } catch (error) {
      if (!this.fail(error)) throw error;
    }
  }

  /** Texts of clients are passed on only to those that listen. */
  listenFor() {
    const { events } = this;
    const want = (messages, errors) => this.program.want(messages ? 'all' : errors ? 'broken' : 'none');
    const count = (name, added) => name === added || events.listenerCount(name) > 0;
    events.on('newListener', (name) => want(count('message', name), count('error', name)));
    events.on('removeListener', () => want(count('message'), count('error')));
  }

  // HTTP.

  /** `req.url` is below the path of the app that this is mounted in. */
  async answer(req, res, next) {
    const { pathname, search } = split(req.url);
    const below = `${pathname}/`.startsWith(this.path) ? pathname.slice(this.path.length) : null;
    const resource = below?.match(RESOURCE);
    const isOwn = (below === '' || resource) && ['GET', 'HEAD', 'OPTIONS'].includes(req.method);
    if (!isOwn) return next();
    await this.setCors(req, res);
    if (req.method === 'OPTIONS') return end(res, 204);
    if (resource && decoded(resource[1]) !== this.key) return end(res, 401, 'Invalid key provided');
    if (resource?.[2] === 'id' && this.options.generateClientId) return end(res, 200, await this.newId());
    return this.forward(req, res, `/${below}${search}`);
  }

  /** Tells the program who the client is, and proves who tells it. */
  proxyHeaders(req) {
    return { 'x-forwarded-for': clientAddress(req, this.isTrusted), 'x-proxy-secret': this.secret };
  }

  async newId() {
    for (let tried = 0; tried < IDS_TRIED; tried += 1) {
      const id = String(await this.options.generateClientId());
      if (!this.clients.has(id)) return id;
    }
    throw new Error(`generateClientId has made ${IDS_TRIED} ids that other clients have`);
  }

  async forward(req, res, path) {
    const headers = Object.fromEntries(Object.entries(req.headers).filter(([name]) => !FORWARDED.test(name) && !OF_BODY.test(name)));
    Object.assign(headers, this.proxyHeaders(req), { connection: 'keep-alive' });
    const answer = await this.ask({ host: LOOPBACK, path, headers, method: req.method, agent: this.agent });
    res.statusCode = answer.statusCode;
    for (const [name, value] of Object.entries(answer.headers)) if (!OWN_HEADERS.test(name)) res.setHeader(name, value);
    answer.on('error', () => res.destroy());
    answer.pipe(res);
  }

  async ask(options, times = 3) {
    const port = await this.program.port();
    try {
      return await new Promise((resolve, reject) => http.request({ ...options, port }, resolve).on('error', reject).end());
    } catch (error) {
      if (times === 1) throw error;
      // A moment after its death, the program is not known to be dead.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return this.ask(options, times - 1);
    }
  }

  // WebSockets.

  get paths() {
    const mounts = this.mounts.length > 0 ? this.mounts.flatMap((mount) => mount()) : [''];
    return mounts.map((mount) => joined(mount, this.path));
  }

  owns(req) {
    const { pathname } = split(req.url);
    return !this.options.createWebSocketServer && this.paths.some((path) => pathname === path + WEBSOCKET);
  }

  /** Passes the connection on as it is. */
  async upgrade(req, socket, head) {
    socket.on('error', () => socket.destroy());
    let port;
    try {
      port = await this.program.port();
    } catch {
      return socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    }
    if (socket.destroyed) return;
    const upstream = net.connect(port, LOOPBACK);
    upstream.setNoDelay(true);
    socket.setNoDelay(true);
    socket.setTimeout(0);
    upstream.write(this.head(req), 'latin1');
    upstream.once('data', (answer) => {
      socket.write(answer);
      upstream.pipe(socket);
      // A client that is refused may not send requests of its own, in which it could name any address.
      if (!/^HTTP\/1.1 101/.test(answer.toString('latin1'))) return upstream.end();
      upstream.write(head);
      socket.pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    upstream.on('close', () => socket.destroySoon());
    socket.on('close', () => upstream.destroy());
  }

  head(req) {
    const lines = [`GET /${WEBSOCKET}${split(req.url).search} HTTP/1.1`];
    for (let at = 0; at < req.rawHeaders.length; at += 2) {
      if (!FORWARDED.test(req.rawHeaders[at])) lines.push(`${req.rawHeaders[at]}: ${req.rawHeaders[at + 1]}`);
    }
    for (const [name, value] of Object.entries(this.proxyHeaders(req))) lines.push(`${name}: ${value}`);
    return `${lines.join('\r\n')}\r\n\r\n`;
  }

  /** An app with a server of its own for WebSockets: it has read the frames, so each goes on as a frame. */
  bridge(server) {
    server.on('error', (error) => this.fail(error));
    server.on('connection', async (socket, req) => {
      const waiting = [];
      let upstream;
      const pass = (data, isBinary = typeof data !== 'string') => upstream.send(data, { binary: isBinary });
      socket.on('message', (...frame) => (upstream?.readyState === 1 ? pass(...frame) : waiting.push(frame)));
      socket.on('error', () => {});
      // Older releases of `ws` cannot pause.
      socket.pause?.();
      try {
        const { search } = split(req.url);
        const headers = this.proxyHeaders(req);
        const url = `ws://${LOOPBACK}:${await this.program.port()}/${WEBSOCKET}${search}`;
        // The app brings its library, whose servers and clients are of one class.
        upstream = new socket.constructor(url, [], { headers, perMessageDeflate: false });
      } catch (error) {
        this.fail(error);
        return socket.terminate();
      }
      upstream.on('open', () => {
        waiting.splice(0).forEach((frame) => pass(...frame));
        socket.resume?.();
      });
      upstream.on('message', (data, isBinary = typeof data !== 'string') => socket.send(data, { binary: isBinary }));
      upstream.on('error', () => {});
      upstream.on('close', (code, reason) => closeAs(socket, code, reason));
      socket.on('close', (code, reason) => closeAs(upstream, code, reason));
      if (socket.readyState > 1) upstream.terminate();
    });
  }
}

/**
 * For `app.use`, or the listener for requests of a server.
 * @param {import('node:http').Server} server
 */
function ExpressPeerServer(server, options = {}) {
  return handlerOf(server, options, []);
}

function PeerServer(options = {}, callback = undefined) {
  const { ssl, port = 9000, host = '::' } = options;
  const server = ssl && Object.keys(ssl).length > 0 ? https.createServer(ssl) : http.createServer();
  // Also where an app mounts it too.
  const handler = handlerOf(server, options, [() => '']);
  server.on('request', (req, res) => handler(req, res));
  server.listen(port, host, () => callback?.(server));
  return handler;
}

function handlerOf(server, options, mounts) {
  /** @type {any} */
  const handler = (req, res, next = () => end(res, 404, 'Not found')) => {
    if (!broker) return next();
    // A router does not say where it is mounted.
    const { baseUrl } = req;
    const isNew = baseUrl && !broker.paths.includes(joined(baseUrl, broker.path));
    if (isNew && mounts.length < MOST_MOUNTS) mounts.push(() => baseUrl);
    broker.answer(req, res, next).catch((error) => {
      if (res.headersSent) return res.destroy();
      broker.fail(error);
      end(res, 503, 'The signalling server does not run');
    });
  };
  Object.setPrototypeOf(handler, HANDLER);
  EventEmitter.call(handler);
  // By these two, Express tells an app from a function, and tells an app its path.
  handler.handle = handler;
  handler.set = () => handler;
  handler.on('mount', (parent) => {
    if (!broker) throw new Error('ExpressPeerServer got no server: give it the http.Server of your app');
    const { mountpath } = handler;
    mounts.push(() => [mountpath].flat().map((path) => joined(parent.path(), path)));
    if (mounts.length === 1) bridge();
  });
  const broker = server && new Broker(server, options, handler, mounts);
  const bridge = () => {
    const { createWebSocketServer } = options;
    if (createWebSocketServer) broker.bridge(createWebSocketServer({ path: broker.paths[0] + WEBSOCKET, server }));
  };
  // Otherwise its path is not known yet.
  if (mounts.length === 1) bridge();
  return handler;
}

const HANDLER = Object.create(Function.prototype, Object.getOwnPropertyDescriptors(EventEmitter.prototype));

function argumentsOf(options, key) {
  const given = Object.entries(SETTINGS).filter(([name]) => options[name] !== undefined);
  return [
    ...['--stdio', '--quiet', `--host=${LOOPBACK}`, '--port=0', '--path=/', '--pages=false', '--dialects=peerjs'],
    // This process names the client.
    ...['--proxied', `--trusted_proxy=${LOOPBACK}`, `--key=${key}`],
    ...given.map(([name, unit]) => `--${name}=${options[name]}${typeof options[name] === 'number' ? unit : ''}`),
  ];
}

/** Paths joined, with slashes around. */
function joined(...paths) {
  return `/${paths.join('/')}/`.replace(/\/+/g, '/');
}

function split(url) {
  const at = url.indexOf('?');
  return at < 0 ? { pathname: url, search: '' } : { pathname: url.slice(0, at), search: url.slice(at) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function end(res, status, text = '') {
  res.statusCode = status;
  if (text) res.setHeader('Content-Type', 'text/html; charset=utf-8');
  res.end(text);
}

/** Codes without a close frame cannot be sent. */
function closeAs(socket, code, reason) {
  if (code === 1006) return socket.terminate();
  return code === 1005 ? socket.close() : socket.close(code, reason);
}

module.exports = { ExpressPeerServer, PeerServer };
