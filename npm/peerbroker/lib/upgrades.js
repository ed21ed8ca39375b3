// The part of a server that all brokers of it share: each upgrade goes to one broker, to the listeners of others, or to the app as if
// it were none.
'use strict';

const { once } = require('node:events');
const { ServerResponse } = require('node:http');
const tls = require('node:tls');
const { OF_CLIENTS, socketOf } = require('./paths.js');
const { isOfPeerJs, warnOfAnswer, warnOfPath } = require('./warnings.js');

/** @type {WeakMap<object, Set<any>>} */
const BROKERS = new WeakMap();

/** Upgrades that are shown to the app, to see if it has a broker there. @type {WeakMap<object, (broker: any) => void>} */
const SOUGHT = new WeakMap();

/** Requests that have come to a broker, and that it has not passed on. @type {WeakSet<object>} */
const IN_BROKER = new WeakSet();

const MOST_OF_START = 100;

// In milliseconds, for an upgrade that others have got.
const ANSWER_TIMEOUT = 5000;

/** @param {import('node:http').Server} server */
function share(server, broker) {
  let brokers = BROKERS.get(server);
  if (!brokers) {
    brokers = new Set();
    BROKERS.set(server, brokers);
    watch(server, brokers);
  }
  brokers.add(broker);
}

function watch(server, brokers) {
  const { close, emit } = server;
  const nothing = () => {};
  // All listeners get all upgrades, and `ws` ends those that are not its own: so others never see ours.
  server.emit = function (event, ...args) {
    if (event === 'request' && isOfPeerJs(args[0])) watchAnswer(...args);
    if (event !== 'upgrade') return emit.call(this, event, ...args);
    route(...args).catch(() => args[1].destroy());
    return true;
  };
  const watchAnswer = (req, res) => {
    const { url } = req;
    const isPage = watchStart(res);
    res.once('finish', () => {
      const { statusCode: status } = res;
      // A handler that refuses clients on purpose has another status.
      const isOfApp = !IN_BROKER.has(req) && ((status >= 300 && status < 400) || isPage());
      if (status === 404 || isOfApp) warnOfAnswer(brokers, req, url, status);
    });
  };
  /** For a client whose upgrade other listeners have got: most of them leave those of others alone, and it waits for ever. */
  const watchSocket = (req, socket, url) => {
    const { bytesWritten } = socket;
    const tell = () => {
      clearTimeout(timer);
      if (socket.bytesWritten === bytesWritten) warnOfPath(brokers, req, url);
    };
    const timer = setTimeout(tell, ANSWER_TIMEOUT).unref();
    socket.once('close', tell);
  };
  const route = async (req, socket, head) => {
    const { url } = req;
    const { place, name } = socketOf(url);
    const isPeerJs = isOfPeerJs(req);
    const others = () => {
      if (server.listenerCount('upgrade') === 1) return false;
      if (isPeerJs && !own) watchSocket(req, socket, url);
      // Vite has changed it to that of its page.
      req.url = url;
      return emit.call(server, 'upgrade', req, socket, head);
    };
    const own = [...brokers].find((broker) => broker.mounted.includes(place));
    // The app has a server of its own for these.
    if (own?.sockets && name === OF_CLIENTS) return others();
    if (own) return own.take(req, socket, head);
    // Node leaves errors of upgrades to their listeners.
    socket.on('error', () => socket.destroy());
    if (isWebSocket(req) && [...brokers].some((broker) => place?.endsWith(broker.path))) {
      const { broker, response } = await seek(server, req, socket);
      if (broker) return broker.take(req, socket, head);
      if (others()) return;
      if (isPeerJs) warnOfPath(brokers, req, url);
      serve(response, socket);
    } else if (!others()) {
      if (isPeerJs) warnOfPath(brokers, req, url);
      await serveAsPlain(server, req, socket, head);
    }
  };
  // Node asks for a listener, and with it leaves upgrades of others alone.
  server.on('upgrade', nothing);
  // Its event 'close' comes only when all connections are closed, and those of clients stay open for as long as they like.
  server.close = function (...args) {
    for (const broker of brokers) broker.stop();
    return close.apply(this, args);
  };
  server.on('listening', () => {
    for (const broker of brokers) broker.start();
  });
  server.on('error', (error) => {
    const heard = [...brokers].filter((broker) => broker.emitError(error));
    // As if no broker listened.
    if (heard.length === 0 && server.listenerCount('error') === 1) throw explained(error);
  });
}

/** Notes that a request is in a broker, until the broker passes it on with the function that this returns. */
function passing(req, next) {
  IN_BROKER.add(req);
  return (...args) => {
    IN_BROKER.delete(req);
    next(...args);
  };
}

/** True if a request has come by a server where WebSockets do not come to the broker of `server`. */
function isOfOtherServer({ socket }, server) {
  return Boolean(socket?.server) && socket.server !== server && !BROKERS.has(socket.server);
}

/** Returns a function that is true if the answer is a page, with which PeerJS goes on as if it were an id. */
function watchStart(res) {
  let start = '';
  for (const name of ['write', 'end']) {
    const method = res[name];
    res[name] = function (chunk, ...args) {
      if (start === '' && (typeof chunk === 'string' || chunk instanceof Uint8Array)) start = Buffer.from(chunk).toString('latin1', 0, MOST_OF_START);
      return method.call(this, chunk, ...args);
    };
  }
  // No id is long enough to be compressed.
  return () => res.statusCode < 300 && (/^\s*</.test(start) || res.hasHeader('content-encoding'));
}

/** The error of a server that cannot listen, with the remedy: it ends the app. @param {any} error */
function explained(error) {
  const { code, port, message } = error;
  const why = port > 0 && {
    EADDRINUSE: `port ${port} is in use: stop the program that listens there, or pass another port to PeerServer or listen()`,
    EACCES: `no permission to listen on port ${port}: pass a port of 1024 or more to PeerServer or listen()`,
  }[code];
  if (why) {
    error.message = `${why} (${message})`;
    // Node prints the stack, which has the message of before.
    error.stack = error.stack.replace(message, error.message);
  }
  return error;
}

function isWebSocket(req) {
  return /^websocket$/i.test(req.headers.upgrade ?? '') && req.method === 'GET';
}

/**
 * Routers, Connect and patterns do not say where they have mounted something, but their requests come there. So the app gets the
 * upgrade as a request.
 * @returns {Promise<{ broker?: any, response?: ServerResponse }>} the broker, or the response that the app has begun
 */
function seek(server, req, socket) {
  return new Promise((resolve) => {
    const { url } = req;
    const response = new ServerResponse(req);
    response.writeHead = function (...args) {
      response.writeHead = ServerResponse.prototype.writeHead;
      SOUGHT.delete(req);
      response.shouldKeepAlive = false;
      resolve({ response });
      return response.writeHead.apply(this, args);
    };
    SOUGHT.set(req, (broker) => {
      SOUGHT.delete(req);
      // Routers have cut their own path off.
      req.url = url;
      resolve({ broker });
    });
    socket.once('close', () => SOUGHT.delete(req));
    server.emit('request', req, response);
  });
}

/** True if the request is an upgrade that was sought for this broker, which takes it. */
function isSought(req, broker) {
  const found = socketOf(req.url).place === broker.path ? SOUGHT.get(req) : undefined;
  found?.(broker);
  return Boolean(found);
}

/** Sends a response that the app has begun. */
function serve(response, socket) {
  response.on('finish', () => socket.destroySoon());
  response.assignSocket(socket);
}

/**
 * Nobody wants the upgrade, so the server reads it again as the last request of its connection, without one. RFC 9110, section 7.8: it
 * may ignore upgrades.
 */
async function serveAsPlain(server, req, socket, head) {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`, 'Connection: close'];
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    const [name, value] = [req.rawHeaders[at], req.rawHeaders[at + 1]];
    if (!/^(connection|upgrade|http2-settings)$/i.test(name)) lines.push(`${name}: ${value}`);
  }
  // Earlier requests of the connection are answered first.
  while (socket._httpMessage) await once(socket._httpMessage, 'close');
  if (socket.destroyed) return;
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  socket.setTimeout(0);
  server.emit(server instanceof tls.Server ? 'secureConnection' : 'connection', socket);
}

module.exports = { isOfOtherServer, isSought, passing, share };
