// The part of a server that all brokers of it share: each upgrade goes to one broker, or to the listeners of others.
'use strict';

/** @type {WeakMap<object, Set<any>>} */
const BROKERS = new WeakMap();

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
  // All listeners get all upgrades, and `ws` ends those that are not its own: so others never see ours.
  server.emit = function (event, ...args) {
    const owner = event === 'upgrade' && [...brokers].find((broker) => broker.owns(args[0]));
    if (!owner) return emit.call(this, event, ...args);
    owner.upgrade(...args).catch(() => args[1].destroy());
    return true;
  };
  // Node asks for a listener, and with it leaves upgrades of others alone.
  server.on('upgrade', (_, socket) => {
    if (server.listenerCount('upgrade') === 1) socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  // Its event 'close' comes only when all connections are closed, and those of clients stay open for as long as they like.
  server.close = function (...args) {
    for (const broker of brokers) broker.stop();
    return close.apply(this, args);
  };
  server.on('listening', () => {
    for (const broker of brokers) broker.start();
  });
  server.on('error', (error) => {
    const heard = [...brokers].filter((broker) => broker.fail(error));
    // As if no broker listened.
    if (heard.length === 0 && server.listenerCount('error') === 1) throw error;
  });
}

module.exports = { share };
