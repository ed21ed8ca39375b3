// A program with its clients: what `ExpressPeerServer` serves.
'use strict';

const cluster = require('node:cluster');
const { randomBytes } = require('node:crypto');
const http = require('node:http');
const net = require('node:net');
const { pipeline } = require('node:stream');
const { inspect } = require('node:util');
const { clientAddress, LOOPBACK } = require('./addresses.js');
const { bridge } = require('./bridge.js');
const { Client, Socket } = require('./client.js');
const { joined, OF_CLIENTS, socketOf, split } = require('./paths.js');
const { Program } = require('./program.js');
const { LOG, warnOfError, warnOfEvent, warnOfOptions } = require('./warnings.js');

// The settings of the program among the options, with the unit of a number.
const SETTINGS = { allow_discovery: '', concurrent_limit: '', expire_timeout: 'ms', alive_timeout: 'ms' };
const IDS_TRIED = 100;
// Those of this hop, and those that this process sets itself.
const OWN_HEADERS = /^(connection|keep-alive|transfer-encoding|date|access-control-.*)$/i;
const FORWARDED = /^(forwarded|x-forwarded-for)$/i;
// Of a body, which no request has that goes on.
const OF_BODY = /^(content-length|transfer-encoding|expect|upgrade)$/;

class Broker {
  /** @param {any} app is the Express app, which emits its events */
  constructor(app, server, options) {
    this.app = app;
    this.server = server;
    this.options = options;
    this.key = options.key ?? 'peerjs';
    this.path = joined(options.path ?? '/');
    /** @type {Map<string, InstanceType<typeof Client>>} */
    this.clients = new Map();
    /** The client of each connection that has not ended. @type {Map<number, InstanceType<typeof Client>>} */
    this.connections = new Map();
    /** The last signs of life on connections, by id and token of their client. */
    this.signs = new Map();
    /** The places where apps have mounted it. @type {{ parent: any, paths: any[] }[]} */
    this.mounts = [];
    /** Those of Connect, below others that it does not tell: only for warnings. @type {string[]} */
    this.connectPaths = [];
    this.agent = new http.Agent({ keepAlive: true });
    // Other users of this machine reach the program's port too: without this, it believes nothing about addresses.
    this.secret = randomBytes(32).toString('hex');
    const environment = { PEERBROKER_PROXY_SECRET: this.secret };
    this.program = new Program(argumentsOf(options, this.key), environment, (line) => this.told(line), (why) => this.ended(why));
    this.listenFor();
    app.on('newListener', warnOfEvent);
    warnOfWorkers();
    warnOfOptions(options);
  }

  // The life of the program.

  start() {
    this.program.start();
  }

  stop() {
    this.program.stop();
  }

  ended(why) {
    this.connections.clear();
    for (const client of [...this.clients.values()]) this.gone(client);
    // Each time: it may die again.
    if (why && !this.emitError(why)) process.emitWarning(why.message);
  }

  /** Emits an error, or warns of it where nobody listens. */
  fail(error) {
    if (!this.emitError(error)) warnOfError(error);
  }

  /** Emits an error, if there is a listener: without one, it would end the app. */
  emitError(error) {
    return this.app.listenerCount('error') > 0 && this.app.emit('error', error);
  }

  // Clients and their texts.

  told(line) {
    if (line.event === 'connected') {
      this.connected(line);
    } else if (line.event === 'disconnected') {
      const client = this.connections.get(line.connection);
      this.connections.delete(line.connection);
      // Otherwise a newer connection has replaced it.
      if (client?.socket.connection === line.connection) this.gone(client);
    } else if (line.event === 'text') {
      const client = this.connections.get(line.connection);
      if (client && this.clients.get(client.id) === client) this.heard(client, line.text);
    } else if (line.event === 'clients') {
      this.compare(line.clients);
    }
  }

  /** Some texts and events are lost, and these clients are here. */
  compare(clients) {
    const present = new Map(clients.map((client) => [client.id, client]));
    const open = new Set(clients.map(({ connection }) => connection));
    for (const connection of [...this.connections.keys()]) if (!open.has(connection)) this.connections.delete(connection);
    for (const client of [...this.clients.values()]) if (present.get(client.id)?.token !== client.token) this.gone(client);
    for (const client of clients) this.connected(client);
  }

  connected({ id, token, connection }) {
    const known = this.clients.get(id);
    // It was among all clients, which were told meanwhile.
    if (known?.socket.connection >= connection) return;
    if (known && known.token !== token) this.gone(known);
    const client = this.clients.get(id) ?? new Client(id, token);
    client.socket?.end();
    client.socket = new Socket(this.program, id, connection);
    client.sign = this.signs.get(name(id, token)) ?? { at: Date.now() };
    this.clients.set(id, client);
    this.connections.set(connection, client);
    this.app.emit('connection', client);
  }

  gone(client) {
    this.clients.delete(client.id);
    // A successor with another token may be told before its end.
    this.connections.delete(client.socket.connection);
    client.socket.end();
    this.app.emit('disconnect', client);
  }

  heard(client, text) {
    let message;
    try {
      message = JSON.parse(text);
      if (typeof message !== 'object' || message === null) throw new SyntaxError(`no JSON object: ${text.slice(0, 100)}`);
    } catch (error) {
      return this.emitError(error);
    }
    message.src = client.id;
    try {
      this.app.emit('message', client, message);
    } catch (error) {
      if (!this.emitError(error)) throw error;
    }
  }

  /** Texts of clients are passed on only to those that listen. */
  listenFor() {
    const { app } = this;
    const want = (messages, errors) => this.program.want(messages ? 'all' : errors ? 'broken' : 'none');
    const count = (event, added) => event === added || app.listenerCount(event) > 0;
    app.on('newListener', (event) => want(count('message', event), count('error', event)));
    app.on('removeListener', () => want(count('message'), count('error')));
  }

  // HTTP.

  /** Tells the program who the client is, and proves who tells it. */
  proxyHeaders(req) {
    return { 'x-forwarded-for': this.addressOf(req), 'x-proxy-secret': this.secret };
  }

  addressOf(req) {
    return clientAddress(req, this.app.get('trust proxy fn'));
  }

  async newId() {
    for (let tried = 0; tried < IDS_TRIED; tried += 1) {
      const id = await this.options.generateClientId();
      if (typeof id !== 'string' || id === '') {
        throw new TypeError(`generateClientId returned ${inspect(id)}: it has to return a string, or a promise of one`);
      }
      if (!this.clients.has(id)) return id;
    }
    throw new Error(`generateClientId has made ${IDS_TRIED} ids that other clients have`);
  }

  async forward(req, res, path) {
    const headers = Object.fromEntries(Object.entries(req.headers).filter(([name]) => !FORWARDED.test(name) && !OF_BODY.test(name)));
    Object.assign(headers, this.proxyHeaders(req), { connection: 'keep-alive' });
    const answer = await this.ask({ host: LOOPBACK, path: path + split(req.url).search, headers, method: req.method, agent: this.agent });
    res.statusCode = answer.statusCode;
    for (const [name, value] of Object.entries(answer.headers)) {
      if (name === 'vary') res.vary(value);
      else if (!OWN_HEADERS.test(name)) res.setHeader(name, value);
    }
    // Ends both: a client may have left before the answer.
    pipeline(answer, res, () => {});
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

  /** The paths of clients on the server, as far as the mounts of Express apps tell them. */
  get mounted() {
    const paths = this.mounts.flatMap(({ parent, paths }) => paths.map((path) => parent.path() + path));
    return paths.map((path) => joined(path, this.path));
  }

  /** The same, with those of Connect as far as they are known. */
  get places() {
    return [...this.mounted, ...this.connectPaths.map((path) => joined(path, this.path))];
  }

  /** An Express app has mounted it. */
  mount(parent, mountpath) {
    // The others are patterns.
    const paths = [mountpath].flat().filter((path) => typeof path === 'string');
    this.mounts.push({ parent, paths });
    if (!this.sockets && paths.length > 0) this.createServer({ path: this.mounted[0] + OF_CLIENTS, server: this.server });
  }

  /** With an option of that name, an app has a server of its own for WebSockets. */
  createServer(options) {
    const { createWebSocketServer } = this.options;
    if (!createWebSocketServer) return;
    this.sockets = createWebSocketServer(options);
    this.sockets.on('error', (error) => this.fail(error));
    this.sockets.on('connection', (socket, req) => {
      const heard = () => this.program.heard();
      const headers = this.proxyHeaders(req);
      const url = async () => `ws://${LOOPBACK}:${await this.program.port()}/${OF_CLIENTS}${split(req.url).search}`;
      socket.on('message', this.lifeOf(req, socket));
      bridge(socket, url, headers, heard).catch((error) => {
        this.fail(error);
        socket.terminate();
      });
    });
  }

  /** Notes signs of life of a connection with what it returns. */
  lifeOf(req, socket) {
    const query = new URLSearchParams(split(req.url).search);
    const [of, sign] = [name(query.get('id'), query.get('token')), { at: Date.now() }];
    this.signs.set(of, sign);
    socket.on('close', () => {
      if (this.signs.get(of) === sign) this.signs.delete(of);
    });
    return () => {
      sign.at = Date.now();
    };
  }

  /** Takes an upgrade that has come to the app. */
  take(req, socket, head) {
    if (!this.options.createWebSocketServer || socketOf(req.url).name !== OF_CLIENTS) return this.upgrade(req, socket, head);
    // Its path was not known, so this server listens to none.
    if (!this.sockets) this.createServer({ noServer: true });
    this.sockets.handleUpgrade(req, socket, head, (one) => this.sockets.emit('connection', one, req));
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
    upstream.on('error', () => socket.destroy());
    upstream.on('close', () => socket.destroySoon());
    socket.on('close', () => upstream.destroy());
    const isAlive = this.lifeOf(req, socket);
    upstream.write(this.head(req), 'latin1');
    let answer = await nextOf(upstream);
    while (!answer.includes('\r\n\r\n')) answer = Buffer.concat([answer, await nextOf(upstream)]);
    const end = answer.indexOf('\r\n\r\n') + 4;
    socket.write(answer.subarray(0, end));
    if (/^HTTP\/1.1 101/.test(answer.toString('latin1'))) {
      socket.on('data', isAlive);
      upstream.write(head);
      socket.pipe(upstream);
      const first = end < answer.length ? answer.subarray(end) : await nextOf(upstream);
      // The app hears of a client before the client hears that it is connected.
      await this.program.heard();
      socket.write(first);
    } else {
      // A client that is refused may not send requests of its own, in which it could name any address.
      socket.write(answer.subarray(end));
      upstream.end();
    }
    upstream.pipe(socket);
  }

  head(req) {
    const lines = [`GET /${socketOf(req.url).name}${split(req.url).search} HTTP/1.1`];
    for (let at = 0; at < req.rawHeaders.length; at += 2) {
      if (!FORWARDED.test(req.rawHeaders[at])) lines.push(`${req.rawHeaders[at]}: ${req.rawHeaders[at + 1]}`);
    }
    for (const [name, value] of Object.entries(this.proxyHeaders(req))) lines.push(`${name}: ${value}`);
    return `${lines.join('\r\n')}\r\n\r\n`;
  }
}

function argumentsOf(options, key) {
  const given = Object.entries(SETTINGS).filter(([name]) => options[name] !== undefined);
  const hasOwnLog = process.env.PEERBROKER_LOG || process.env.RUST_LOG;
  return [
    ...(hasOwnLog ? [] : [`--log=${LOG}`]),
    ...['--stdio', '--quiet', `--host=${LOOPBACK}`, '--port=0', '--path=/', '--pages=false', '--dialects=peerjs'],
    // This process names the client.
    ...['--proxied', `--trusted_proxy=${LOOPBACK}`, `--key=${key}`],
    ...given.map(([name, unit]) => `--${name}=${options[name]}${typeof options[name] === 'number' ? unit : ''}`),
  ];
}

let hasWarned = false;

/** Each worker has a program of its own. One of them says so: of pm2 the second instance, which restarts keep; else the second worker. */
function warnOfWorkers() {
  const { NODE_APP_INSTANCE: instance, PEERBROKER_REDIS: redis } = process.env;
  const isSecond = instance === undefined ? cluster.worker?.id === 2 : instance === '1';
  if (!isSecond || redis || hasWarned) return;
  hasWarned = true;
  process.emitWarning(
    'each worker of this app has a peerbroker of its own, and peers of different workers do not meet: run one process, or set '
      + 'PEERBROKER_REDIS to the address of a Redis, which connects them',
    { code: 'PEERBROKER_WORKERS' },
  );
}

/** The next bytes of a stream, which is paused until somebody asks again. Waits for ever if it ends. */
function nextOf(stream) {
  return new Promise((resolve) => {
    stream.once('data', (bytes) => {
      stream.pause();
      resolve(bytes);
    });
    stream.resume();
  });
}

function name(id, token) {
  return JSON.stringify([id, token]);
}

module.exports = { Broker };
