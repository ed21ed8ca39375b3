// Presets PeerJS's Peer to the broker that serves this script. What the page passes wins.

import { randomHex } from '../random.js';
import { brokerOf } from './broker-of.js';
import { iceServersOfPeers } from './ice-servers.js';
import { reconnects } from './reconnect.js';
import { iceRestarts } from './ice-restart.js';
import { safetyNumbers } from './safety-exchange.js';

const PIPES = Symbol.for('peerbroker.pipes');

/**
 * @param {any} library
 * @param {any} script the address of the script, if it knows it
 * @param {any} settings of the broker
 * @param {any} [callReports] call-reports.js, if any key of the broker takes reports
 */
export default function presetPeer({ Peer: Original, util }, script, { key: builtInKey, hasIceServers, takesReports }, callReports) {
  const pipes = globalThis[PIPES];
  // Without WebRTC, the script that stands in for it is on its way.
  if (pipes?.coming) Object.assign(util.supports, { webRTC: true, data: true, reliable: true });
  // Those that PeerJS makes of Math.random() tell peers who know an id the next token.
  util.randomToken = () => randomHex(16);
  if (!/^https?:/.test(script)) {
    console.warn('peerjs.js cannot tell its own address: load it with <script src>, or pass host, port and path to Peer');
    return Original;
  }
  // The address of this script leads to its broker, through every proxy and below every path.
  const url = new URL(script);
  const secure = url.protocol === 'https:';
  const asked = url.searchParams.get('key');
  const key = asked === null ? builtInKey : encodeURIComponent(asked);
  const preset = {
    host: url.hostname,
    port: Number(url.port) || (secure ? 443 : 80),
    path: new URL('.', url).pathname,
    secure,
    ...(key && { key }),
  };
  const servers = iceServersOfPeers();
  const restarts = iceRestarts();
  const returns = reconnects();
  const reports = callReports?.();
  const numbers = safetyNumbers();
  /** If data of the next connection goes over a broker, it is the one of this Peer. */
  const useBrokerOf = (peer) => globalThis[PIPES]?.useBrokerOf(peer);
  return class Peer extends Original {
    constructor(id, options) {
      // As in PeerJS: the id may be missing.
      if (id && id.constructor === Object) [id, options] = [undefined, id];
      const host = options?.host === '/' ? location.hostname : options?.host;
      // A page that names another host means another broker.
      const isHere = host === undefined || host === preset.host;
      super(id, isHere ? { ...preset, ...options } : options);
      // Another key than that of the script has its own setting, and answers.
      this._isReported = reports && isHere && takesReports[this.options.key === key ? 'own' : 'others'];
      restarts.announceIn(this);
      numbers.announceIn(this);
      returns.replaceBy(this);
      if (isHere && !key && !options?.key) {
        console.warn('this broker has no built-in key: load peerjs.js?key=…, or pass a key to Peer');
      } else if (isHere && hasIceServers && !options?.config?.iceServers) {
        servers.presetIn(this);
      }
    }

    _createServerConnection() {
      const socket = super._createServerConnection();
      returns.watch(this, socket);
      return socket;
    }

    disconnect() {
      const returning = returns.of(this);
      if (returning) returning.left(() => super.disconnect());
      else super.disconnect();
    }

    get willReconnect() {
      return returns.of(this)?.willReconnect ?? false;
    }

    /** Does nothing for a Peer that is back already. PeerJS would throw an error. */
    reconnect() {
      if (!this.open || !returns.of(this)?.wasLost) super.reconnect();
    }

    _abort(type, error) {
      super._abort(type, error);
      returns.of(this)?.goOn();
    }

    connect(id, options) {
      useBrokerOf(this);
      const line = super.connect(id, { connectionId: `dc_${randomHex(16)}`, ...options });
      return servers.awaitIn(line, this);
    }

    call(...args) {
      return servers.awaitIn(super.call(...args), this);
    }

    /** PeerJS takes over no text from an error: `server-error` of a failed request has an empty message there. */
    emitError(type, error) {
      if (type === 'webrtc') reports?.refused(this);
      const at = type === 'server-error' ? ` It was asked at ${brokerOf(this.options)}` : '';
      const text = error instanceof Error ? error.message + at : error;
      const returning = returns.of(this);
      if (returning) returning.tell(type, text, (told) => super.emitError(type, told));
      else super.emitError(type, text);
    }

    /** A dev server without a proxy for the broker answers with its page, and PeerJS would take that as its id and wait for ever. */
    _initialize(id) {
      if (pipes?.coming) {
        const go = () => this.destroyed || this._initialize(id);
        pipes.coming.then(go, ({ message }) => this._abort('browser-incompatible', `This browser has no WebRTC: ${message}`));
        return;
      }
      if (!/^\s*</.test(id)) {
        this._id = id;
        if (!returns.of(this)?.wanted()) super._initialize(id);
        return;
      }
      const { path, key } = this.options;
      this._abort('server-error', `The answer of ${brokerOf(this.options)}${key}/id is a page, not an id: `
        + `${JSON.stringify(id.trim().slice(0, 40))}. No broker is there: have the server pass ${path} on, or pass the broker's host, port and path to Peer`);
    }

    _addConnection(id, connection) {
      super._addConnection(id, connection);
      restarts.watch(this, connection);
      if (this._isReported) reports.watch(this, connection);
      numbers.watch(connection);
    }

    _handleMessage(message) {
      if (numbers.take(this, message)) return;
      reports?.heard(this, message);
      const returning = returns.of(this);
      if (message.type === 'OPEN') returning?.opened();
      if (returning?.heard(message) || restarts.take(this, message)) return;
      // Messages of other peers may lead to connections. Those of the server do not wait.
      const waiting = message.src === undefined ? undefined : servers.of(this)?.waiting();
      const handle = () => {
        if (message.type === 'OFFER') useBrokerOf(this);
        super._handleMessage(message);
      };
      if (waiting) waiting.then(() => this.destroyed || handle());
      else handle();
    }
  };
}
