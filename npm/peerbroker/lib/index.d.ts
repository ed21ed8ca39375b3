import type { CorsOptions } from 'cors';
import type { Express } from 'express';
import type { Server as HttpServer } from 'node:http';
import type { Http2SecureServer } from 'node:http2';
import type { Server as HttpsServer, ServerOptions as HttpsOptions } from 'node:https';
import type { ServerOptions, WebSocket, WebSocketServer } from 'ws';

export interface IConfig {
  /** Of `PeerServer` only. All addresses by default. */
  readonly host: string;
  /** Of `PeerServer` only: 9000 by default, 0 for a free one. */
  readonly port: number;
  /** `/` by default. In an app, below the path at which it is mounted. */
  readonly path: string;
  /** The key that clients must send: `peerjs` by default. */
  readonly key: string;
  /** Milliseconds that messages wait for an absent client: 5000 by default. */
  readonly expire_timeout: number;
  /** Milliseconds after which a silent client is disconnected: 60000 by default. */
  readonly alive_timeout: number;
  /** Connected clients at a time: 5000 by default. */
  readonly concurrent_limit: number;
  /** Lets clients list the ids of all others; `'near'`: of those of one network; `'pin'`: only rooms of these with the same PIN. */
  readonly allow_discovery: boolean | 'near' | 'pin';
  /** The proxies in front, as in Express's setting `trust proxy`. By default, that setting of the app that mounts it. */
  readonly proxied: boolean | number | string | string[] | ((address: string, hop: number) => boolean);
  /** Ignored: messages expire on time. */
  readonly cleanup_out_msgs: number;
  /** Of `PeerServer` only. */
  readonly ssl?: HttpsOptions;
  readonly corsOptions: CorsOptions;
  readonly generateClientId?: () => string | Promise<string>;
  /** For a server of the library `ws`. Without it, connections need no such library. */
  readonly createWebSocketServer?: (options: ServerOptions) => WebSocketServer;
}

/** Those of PeerJS. Clients may send others too. */
export declare const MessageType: {
  readonly OPEN: 'OPEN';
  readonly LEAVE: 'LEAVE';
  readonly CANDIDATE: 'CANDIDATE';
  readonly OFFER: 'OFFER';
  readonly ANSWER: 'ANSWER';
  readonly EXPIRE: 'EXPIRE';
  readonly HEARTBEAT: 'HEARTBEAT';
  readonly ID_TAKEN: 'ID-TAKEN';
  readonly ERROR: 'ERROR';
};
export type MessageType = (typeof MessageType)[keyof typeof MessageType] | (string & {});

export interface IMessage {
  readonly type: MessageType;
  readonly src: string;
  readonly dst: string;
  readonly payload?: any;
}

export interface IClient {
  getId(): string;
  getToken(): string;
  /**
   * The connection. The program of peerbroker has the real one, so only `readyState`, `send`, `close` (the client is told close code 4005),
   * `terminate`, `ping` (answered at once: the program pings clients itself) and the events `close` and `pong` exist.
   */
  getSocket(): WebSocket | null;
  /** Throws. */
  setSocket(socket: WebSocket | null): void;
  /** The time of the last sign of life, as `Date.now()` has it. */
  getLastPing(): number;
  /** Changes what `getLastPing` returns. The program knows by itself which clients live. */
  setLastPing(lastPing: number): void;
  /** Sends anything that JSON can hold, as it is. */
  send<T>(data: T): void;
}

export interface PeerServerEvents {
  /** A client is here. Again, with the same object, when it reconnects before its old connection has ended. */
  on(event: 'connection', listener: (client: IClient) => void): this;
  /** A client has sent a message, also of an unknown type. */
  on(event: 'message', listener: (client: IClient, message: IMessage) => void): this;
  on(event: 'disconnect', listener: (client: IClient) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
}

/** `server` is the one of your app. Where a tool gives none, as Vite in middleware mode, mounting throws an error that says so. */
export declare function ExpressPeerServer(
  server: HttpServer | HttpsServer | Http2SecureServer | null | undefined,
  options?: Partial<IConfig>,
): Express & PeerServerEvents;
export declare function PeerServer(
  options?: Partial<IConfig>,
  callback?: (server: HttpServer | HttpsServer) => void,
): Express & PeerServerEvents;
