// Mistakes of clients and of the app, on the console of the app: each once.
'use strict';

const { split } = require('./paths.js');

// A line of the program's log about a mistake of a client.
const MISTAKE = /^\[\S+ +INFO +peerbroker::runtime::mistakes\] (a client .*)$/;
// The program repeats what goes on, with a number.
const REPEATED = /^\[\S+ +INFO +peerbroker::runtime::mistakes\] /;
/** The levels of the program's log, if the app sets none: those of --quiet, and mistakes of clients. */
const LOG = 'warn,peerbroker::audit=info,peerbroker::runtime::mistakes=info,actix_http=off,redis=off';
// An app that listens to all messages may have some of its own.
const IN_VAIN = / (at|to) …\/peerjs,? (which|that) does nothing/;
// Clients make up texts, so different warnings have a bound.
const MOST = 100;

const OPTIONS = [
  'host', 'port', 'path', 'key', 'expire_timeout', 'alive_timeout', 'concurrent_limit', 'allow_discovery', 'proxied', 'cleanup_out_msgs', 'ssl',
  'corsOptions', 'generateClientId', 'createWebSocketServer',
];
// Of the first versions of `peer`, in many tutorials.
const OLD = ['debug'];
const EVENTS = ['connection', 'message', 'disconnect', 'error'];
// Of Express and of Node.
const OTHER_EVENTS = ['mount', 'newListener', 'removeListener'];
/** Times below these were meant as seconds: a client sends something each 5 s, and a message that waits has to be of use. */
const SHORTEST = { alive_timeout: 1000, expire_timeout: 100 };
// Edits that make two names look alike.
const MOST_EDITS = 3;

const OF_APP = 'for the server of your app, write app.use(path, ExpressPeerServer(server))';

const told = new Set();

/**
 * @param {string} text has what happened before its first bracket or colon, by which it is told once
 * @param {string} [detail] is shown below it
 */
function warn(text, detail) {
  const [what] = text.split(/ \(|: /);
  if (told.has(what) || told.size === MOST) return;
  told.add(what);
  process.emitWarning(text, { code: 'PEERBROKER', detail });
}

/** Takes a line of the program's log. Returns false if it is for the console as it is. */
function takesLine(line, { hearsMessages }) {
  const [, mistake] = line.match(MISTAKE) ?? [];
  if (mistake && !(hearsMessages && IN_VAIN.test(mistake))) warn(mistake);
  return REPEATED.test(line);
}

function warnOfOptions(options) {
  for (const name of Object.keys(options)) {
    if (OPTIONS.includes(name) || OLD.includes(name)) continue;
    const best = alike(name, OPTIONS);
    const hint = best ? `did you mean ${best}?` : `there are ${OPTIONS.join(', ')}, and variables, as in PEERBROKER_RELAY=all`;
    warn(`the option ${name} of ExpressPeerServer is ignored: ${name === 'server' ? OF_APP : hint}`);
  }
  for (const [name, shortest] of Object.entries(SHORTEST)) {
    const time = options[name];
    if (time > 0 && time < shortest) warn(`${name} is in milliseconds (it is ${time}): ${time} seconds are ${time * 1000}`);
  }
}

/** Other names may be events of the app's own. */
function warnOfEvent(name) {
  if (typeof name !== 'string' || EVENTS.includes(name) || OTHER_EVENTS.includes(name)) return;
  const best = alike(name, EVENTS);
  if (best) warn(`ExpressPeerServer has no event ${JSON.stringify(name)}: did you mean ${JSON.stringify(best)}?`);
}

function warnOfOwnServer(port) {
  warn(`an app has mounted PeerServer, which has a server of its own, at port ${port}: ${OF_APP}`);
}

/** The known name that looks like this one. */
function alike(name, names) {
  const [best] = names.map((known) => ({ known, edits: edits(name, known) })).sort((one, other) => one.edits - other.edits);
  return best.edits <= MOST_EDITS && best.edits < name.length / 2 ? best.known : undefined;
}

/** Edits from one name to another, without case and underscores. */
function edits(one, other) {
  const [from, to] = [one, other].map((name) => name.toLowerCase().replace(/_/g, ''));
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...from].entries()) {
    const next = [at + 1];
    for (let of = 0; of < to.length; of += 1) {
      next.push(Math.min(row[of] + (letter === to[of] ? 0 : 1), row[of + 1] + 1, next[of] + 1));
    }
    row = next;
  }
  return row[to.length];
}

function warnOfError(error) {
  warn(error?.message ?? String(error), error?.stack);
}

function warnOfKey(broker, req, key) {
  warn(`a client asked for the key ${JSON.stringify(key)} (${clientOf(broker, req)}): the key here is ${JSON.stringify(broker.key)}`);
}

/** A client of PeerJS has asked for something that the app does not have. */
function warnOfPath(brokers, req, url = req.url) {
  const [broker] = brokers;
  const places = [...brokers].flatMap(({ places }) => places.map((place) => JSON.stringify(place)));
  const hint = places.length > 0
    ? `peerbroker is at ${places.join(', ')}: pass path: ${places.join(' or ')} to Peer`
    : 'is peerbroker mounted there, with app.use, before handlers that answer everything? Below a router, the path of that counts too, as in /api/peerjs';
  warn(`a client asked for ${JSON.stringify(split(url).pathname)}, which is not here (${clientOf(broker, req)}): ${hint}`);
}

/** The app has answered a client of PeerJS itself. */
function warnOfAnswer(brokers, req, url, status) {
  const { pathname } = split(url);
  const place = pathname.replace(/[^/]+\/id$/, '');
  const broker = [...brokers].find(({ places }) => places.includes(place));
  if (!broker) return warnOfPath(brokers, req, url);
  warn(`a handler of the app answers ${JSON.stringify(pathname)} before peerbroker (with status ${status}, ${clientOf(broker, req)}): call app.use(path, ExpressPeerServer(server)) before you add that handler`);
}

function warnOfServer() {
  warn('clients come by another server than the one that ExpressPeerServer got, and their WebSockets find no peerbroker there: call server.listen, not app.listen');
}

function clientOf(broker, req) {
  const { origin } = req.headers;
  const page = origin ? `, a page of ${JSON.stringify(origin)}` : '';
  return `from ${broker.addressOf(req)}${page}`;
}

/** PeerJS asks for an id with the time, a random number and (newer ones) its version, and opens WebSockets with these names. */
function isOfPeerJs({ url }) {
  const { pathname, search } = split(url);
  return (pathname.endsWith('/id') && /[?&]ts=(\d{13,14}\.\d|[\d.]+&version=)/.test(search)) || (pathname.endsWith('/peerjs') && /[?&]key=/.test(search));
}

module.exports = { isOfPeerJs, LOG, takesLine, warnOfAnswer, warnOfError, warnOfEvent, warnOfKey, warnOfOptions, warnOfOwnServer, warnOfPath, warnOfServer };
