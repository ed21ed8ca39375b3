import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Server as HttpsServer, ServerOptions } from 'node:https';

export type Origin = boolean | string | RegExp | (string | RegExp)[];

/** As the options of npm's `cors`. */
export interface CorsOptions {
  origin?: Origin | ((origin: string | undefined, callback: (error: Error | null, origin?: Origin) => void) => void);
  methods?: string | string[];
  allowedHeaders?: string | string[];
  exposedHeaders?: string | string[];
  credentials?: boolean;
  maxAge?: number;
}

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
  /** Lets clients list the ids of all others. */
  readonly allow_discovery: boolean;
  /** The proxies in front, as in Express's setting `trust proxy`. */
  readonly proxied: boolean | number | string | string[] | ((address: string, hop: number) => boolean);
  /** Options of `https.createServer`. Of `PeerServer` only. */
  readonly ssl?: ServerOptions;
  readonly corsOptions: CorsOptions;
  readonly generateClientId?: () => string | Promise<string>;
  /** For a server of the library `ws`. Without it, connections need no such library. */
  readonly createWebSocketServer?: (options: { path: string; server: HttpServer | HttpsServer }) => EventEmitter;
}

/** Clients may send other types too. */
export type MessageType =
  | 'OPEN'
  | 'LEAVE'
  | 'CANDIDATE'
  | 'OFFER'
  | 'ANSWER'
  | 'EXPIRE'
  | 'HEARTBEAT'
  | 'ID-TAKEN'
  | 'ERROR'
  | (string & {});

export interface IMessage {
  readonly type: MessageType;
  readonly src: string;
  readonly dst: string;
  readonly payload?: any;
}

/** The connection of a client. */
export interface ClientSocket extends EventEmitter {
  readonly readyState: number;
  send(text: string): void;
  /** The client is told close code 4005. */
  close(): void;
  terminate(): void;
}

export interface IClient {
  readonly id: string;
  readonly token: string;
  getId(): string;
  getToken(): string;
  getSocket(): ClientSocket | null;
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

export interface PeerServerHandler extends Omit<EventEmitter, 'on'>, PeerServerEvents {
  (req: IncomingMessage, res: ServerResponse, next?: (error?: any) => void): void;
}

export function ExpressPeerServer(server: HttpServer | HttpsServer, options?: Partial<IConfig>): PeerServerHandler;
export function PeerServer(
  options?: Partial<IConfig>,
  callback?: (server: HttpServer | HttpsServer) => void,
): PeerServerHandler;
