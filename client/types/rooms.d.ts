/** The types of rooms.js and rooms.mjs. */

/** A `Peer` of any PeerJS. */
export interface PeerOfRooms {
  readonly id: any;
  readonly open: boolean;
  readonly destroyed: boolean;
  readonly socket: any;
  on(event: any, listener: (...args: any[]) => void): unknown;
  once(event: any, listener: (...args: any[]) => void): unknown;
  off(event: any, listener: (...args: any[]) => void): unknown;
  call(id: string, stream: MediaStream, options?: any): any;
  connect(id: string, options?: any): any;
}

/** Values that a room cannot carry: JSON would lose them. Send files over `peer.connect(id)`. */
export type NotJson = bigint | symbol | ((...args: any[]) => unknown) | Blob | ArrayBuffer | ArrayBufferView | ReadonlyMap<any, any> | ReadonlySet<any>;

/** A value that arrives as it was sent: JSON only. This type does not look into objects; another value rejects with a `TypeError`. */
export type JsonOnly<Value> = Value extends NotJson ? never : Value;

/**
 * Joins a room, once the peer is open. Rejects with a `RoomError` if the server refuses, or has no rooms, as peerjs-server.
 * Rejects with a `TypeError` if an argument cannot be right.
 * The room survives reconnects of the peer; reconnecting is left to the page.
 * @param data Small public data of this member: JSON of up to 1024 bytes.
 */
export declare function joinRoom<Data = any>(
  peer: PeerOfRooms,
  name: string,
  data?: JsonOnly<Data>,
  options?: RoomOptions,
): Promise<Room<Data>>;

export interface RoomOptions {
  /** False: this member is never the host, as a phone that may sleep. */
  host?: boolean;
  /** If this makes the room, who may write its state: `host` alone, or by default all. */
  writers?: 'all' | 'host';
}

/** Names with JSON values that all members share, in the broker: at most 256 names of 64 bytes, and 64 KiB. Do not change a value that you got: set another one. */
export interface RoomState extends Iterable<[name: string, value: any]> {
  get(name: string): any;
  has(name: string): boolean;
  readonly size: number;
  /** All members hear the value before this resolves. Rejects with a `RoomError`, such as `state_full` or `not_host`. */
  set<Value>(name: string, value: JsonOnly<Value>): Promise<void>;
  delete(name: string): Promise<void>;
  /**
   * Sets what `change` returns for the value, `undefined` if there is none, and calls it again if another member was faster: so of
   * all that write at once, one is the first. `undefined` deletes the name; the value unchanged writes nothing. Resolves
   * to the new value.
   */
  update<Value = any>(name: string, change: (value: Value | undefined) => Value | undefined): Promise<Value | undefined>;
}

export interface Room<Data = any> {
  readonly name: string;
  /** The data of all members by their ids, this one's too. */
  readonly members: ReadonlyMap<string, Data>;
  /** The id of the member that has been here for longest, and did not join with `host: false`. All members agree. */
  readonly host: string | undefined;
  readonly isHost: boolean;
  /** The smallest number from 1 that was free, kept until this member leaves. */
  readonly seat: number | undefined;
  /** The seats of all members by their ids. */
  readonly seats: ReadonlyMap<string, number>;
  /** Complete when `joinRoom` resolves. */
  readonly state: RoomState;
  on<Type extends keyof RoomEvents<Data>>(
    type: Type,
    listener: (event: RoomEvents<Data>[Type]) => void,
    options?: AddEventListenerOptions,
  ): this;
  /** Removes a listener. One that is added twice for an event is called once, as in the browser. */
  off<Type extends keyof RoomEvents<Data>>(type: Type, listener: (event: RoomEvents<Data>[Type]) => void): this;
  /**
   * Sends to all others, or to one member; this page gets no message of its own. Rejects with a `RoomError` if the server refuses, the connection is lost, or the message is
   * `too_big` (by default 1 MiB), and with a `TypeError` if the payload is not JSON.
   */
  send<Payload>(payload: JsonOnly<Payload>, to?: string): Promise<void>;
  /** Replaces the data of this member: it keeps no members of the old one, as in `{ ...room.members.get(peer.id), score: 5 }`. */
  update(data: JsonOnly<Data>): Promise<void>;
  leave(): Promise<void>;
  /**
   * Calls all members that call this too, now or later: each sends its stream to each. The call ends with the room.
   * A page that answers calls itself leaves those with `metadata.room` alone.
   */
  callEverybody(stream: MediaStream, data?: JsonOnly<Data>): Promise<Call<Data>>;
  /**
   * Makes a data connection with each member that calls this too, now or later. They end with the room.
   * A page that takes connections itself leaves those with `metadata.room` alone.
   */
  connectEverybody(options?: ConnectOptions): Promise<Connections>;
}

/** Beside these, the options of `peer.connect` for each connection, such as `serialization`. */
export interface ConnectOptions {
  reliable?: boolean;
  /** False: data for a member without a connection are lost. By default they go over the room, and have to be JSON. */
  fallback?: boolean;
  [option: string]: any;
}

/** Data connections: a room of those who take part. */
export interface Connections extends Room<undefined> {
  /**
   * Sends to all others, or to one member, directly where that is possible by now. If over 256 KiB wait in a connection, data that need not
   * be `reliable` are dropped; otherwise this rejects with a `RoomError` `too_slow`.
   */
  send(data: any, to?: string): Promise<void>;
  /** True if data for the member go directly. */
  isDirect(id: string): boolean;
  on<Type extends keyof ConnectionEvents>(
    type: Type,
    listener: (event: ConnectionEvents[Type]) => void,
    options?: AddEventListenerOptions,
  ): this;
  off<Type extends keyof ConnectionEvents>(type: Type, listener: (event: ConnectionEvents[Type]) => void): this;
}

export interface ConnectionEvents extends RoomEvents<undefined> {
  /** Data for the member go directly from now on; again after its connection was lost. */
  connected: { id: string };
  data: { from: string; data: any };
}

/** A call: a room of those who take part. */
export interface Call<Data = any> extends Room<Data> {
  on<Type extends keyof CallEvents<Data>>(
    type: Type,
    listener: (event: CallEvents<Data>[Type]) => void,
    options?: AddEventListenerOptions,
  ): this;
  off<Type extends keyof CallEvents<Data>>(type: Type, listener: (event: CallEvents<Data>[Type]) => void): this;
}

export interface RoomEvents<Data = any> {
  /** Another member has joined, changed its data, or left. `joined` comes for later ones: `members` has those that are there before. */
  joined: { id: string; data: Data };
  updated: { id: string; data: Data };
  left: { id: string; data: Data };
  /** `from` is a member, or null for the app's server; `isPrivate`: it is for this member only. */
  message: { from: string | null; payload: any; isPrivate: boolean };
  /** Another member is the host now. It comes before the first message of the new host. */
  host: { host: string | undefined; former: string | undefined };
  /** A member has another seat: two servers gave one number at once. */
  seat: { id: string; seat: number };
  /** A member, `from`, has set a name or, without `value`, deleted it. `from` is missing if this page was away. */
  state: { name: string; value?: any; former?: any; from?: string };
  /** This member has left, or could not come back: then there is an `error`. */
  closed: { error?: RoomError };
}

export interface CallEvents<Data = any> extends RoomEvents<Data> {
  /** The picture and sound of a member; again after its connection was lost. */
  stream: { id: string; stream: MediaStream };
}

/** `type` is `disconnected`, `no_answer`, `too_big`, or the name of a refusal, such as `room_full`, or `not_member` after `leave()`. */
export declare class RoomError extends Error {
  readonly type: string;
}
