// `PeerServer` and `ExpressPeerServer`, as those of npm's `peer` 1.x: this process passes requests and upgrades to the program.
'use strict';

const http = require('node:http');
const https = require('node:https');
const cors = require('cors');
const express = require('express');
const { Broker } = require('./broker.js');
const { isOfOtherServer, isSought, passing, share } = require('./upgrades.js');
const { isOfPeerJs, warnOfError, warnOfKey, warnOfOwnServer, warnOfServer } = require('./warnings.js');

const MessageType = Object.freeze({
  OPEN: 'OPEN',
  LEAVE: 'LEAVE',
  CANDIDATE: 'CANDIDATE',
  OFFER: 'OFFER',
  ANSWER: 'ANSWER',
  EXPIRE: 'EXPIRE',
  HEARTBEAT: 'HEARTBEAT',
  ID_TAKEN: 'ID-TAKEN',
  ERROR: 'ERROR',
});

// The scripts for pages, below its path as those of the program.
const CLIENTS = /^\/(peerjs(-[\d.]+|\.all)?(\.min)?\.js|peerjs\.(mjs|d\.ts)|rooms\.(js|mjs|d\.ts)|share\.js|webrtc\.m?js)$/;

// Of a path, in the text of an error.
const MOST_OF_PATH = 100;

// In milliseconds: as long as a timer can be.
const LONGEST = 2 ** 31 - 1;

/**
 * An Express app, for `app.use` or as the listener for requests of a server.
 * @param {import('node:http').Server} server
 * @param {any} options
 * @param {(error: Error) => void} [next] is there only where an app has mounted this function itself
 */
function ExpressPeerServer(server, options = {}, next = undefined) {
  if (isResponse(options)) return refuse('ExpressPeerServer', options, next);
  const app = /** @type {any} */ (express());
  setProxies(app, options.proxied);
  const broker = isServer(server) ? new Broker(app, server, options) : null;
  if (broker) share(server, broker);
  let isReady = false;
  // Middleware that the app adds before it mounts this comes first.
  const prepare = () => {
    if (!isReady) app.use(routesOf(broker));
    isReady = true;
  };
  app.on('mount', (parent) => {
    if (!broker) throw missing(server);
    prepare();
    broker.mount(parent, app.mountpath);
  });
  const { handle } = app;
  app.handle = function (req, res, next) {
    if (!broker) return next ? next(missing(server)) : answer(res, 500, missing(server).message);
    // Routers and Connect do not tell that they mount it.
    prepare();
    if (isOfPeerJs(req) && isOfOtherServer(req, server)) warnOfServer();
    return handle.call(this, req, res, next && passing(req, next));
  };
  // Connect sets it when it mounts this, and an Express app has a method there.
  const { route } = app;
  Object.defineProperty(app, 'route', {
    get: () => route,
    set(path) {
      if (!broker) throw missing(server);
      broker.connectPaths.push(path);
    },
  });
  return app;
}

function PeerServer(options = /** @type {any} */ ({}), callback = undefined, next = undefined) {
  if (isResponse(callback)) return refuse('PeerServer', callback, next);
  const { ssl, port = 9000, host = '::' } = options;
  checkSsl(ssl);
  const app = express();
  const server = ssl && Object.keys(ssl).length > 0 ? https.createServer(ssl, app) : http.createServer(app);
  // As with `peer`, whose timers go on: an app that handles a taken port goes on too.
  server.once('error', () => server.listening || setInterval(() => {}, LONGEST));
  const peers = ExpressPeerServer(server, options);
  app.use(peers);
  peers.on('mount', () => warnOfOwnServer(port));
  server.listen(port, host, () => callback?.(server));
  return peers;
}

function routesOf(broker) {
  const { corsOptions = { origin: true }, generateClientId } = broker.options;
  const guarded = (handle, status = 503, text = 'The signalling server does not run') => (req, res) => {
    handle(req, res).catch((error) => {
      if (res.headersSent) return res.destroy();
      broker.fail(error);
      answer(res, status, text);
    });
  };
  const giveId = guarded(async (_, res) => answer(res, 200, await broker.newId()), 500, 'generateClientId has failed: the console of the app says why');
  const below = express.Router();
  below.use(cors(corsOptions));
  below.get('/', guarded((req, res) => broker.forward(req, res, '/')));
  below.get(CLIENTS, guarded((req, res) => broker.forward(req, res, req.path)));
  below.get(['/:key/id', '/:key/peers', '/:key/ice'], guarded(async (req, res) => {
    const { key } = req.params;
    const resource = req.path.match(/[^/]+(?=\/?$)/)[0].toLowerCase();
    if (key !== broker.key) {
      warnOfKey(broker, req, key);
      return answer(res, 401, 'Invalid key provided');
    }
    if (resource === 'id' && generateClientId) return giveId(req, res);
    return broker.forward(req, res, `/${encodeURIComponent(key)}/${resource}`);
  }));
  const routes = express.Router();
  routes.use((req, _, next) => isSought(req, broker) || next());
  routes.use(broker.path, below);
  return routes;
}

function setProxies(app, proxied) {
  if (!proxied || proxied === 'false') return;
  try {
    app.set('trust proxy', proxied === 'true' ? true : proxied);
  } catch (error) {
    throw new Error(`proxied: ${JSON.stringify(proxied)} is no address, no network and no name of networks`, { cause: error });
  }
}

function isServer(server) {
  return typeof server?.listen === 'function' && typeof server !== 'function';
}

function missing(server) {
  const got = server ? 'something else' : 'no server';
  return new Error(`ExpressPeerServer got ${got}: give it the http.Server of your app, which app.listen returns`);
}

/** True for the second argument of a handler of requests. */
function isResponse(value) {
  return typeof value?.setHeader === 'function' && typeof value.end === 'function';
}

/** Answers a request to one of the functions that make an app, which an app has mounted in place of what it returns. */
function refuse(name, res, next) {
  const error = new Error(`app.use got ${name} itself, not the app that it returns: write app.use(path, ExpressPeerServer(server))`);
  warnOfError({ message: error.message });
  return next ? next(error) : answer(res, 500, error.message);
}

/** Node would say only that there is no start line. */
function checkSsl(ssl = /** @type {any} */ ({})) {
  for (const name of ['key', 'cert', 'ca']) {
    const path = [ssl[name]].flat().find((text) => text && typeof text === 'string' && !text.includes('-----BEGIN'));
    if (path) throw new Error(`ssl.${name} is the text of a file, not its path: ${name}: fs.readFileSync(${JSON.stringify(path.slice(0, MOST_OF_PATH))})`);
  }
}

function answer(res, status, text) {
  res.statusCode = status;
  res.setHeader('Content-Type', 'text/html; charset=utf-8');
  res.end(text);
}

module.exports = { ExpressPeerServer, MessageType, PeerServer };
