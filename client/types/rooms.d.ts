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
export declare function joinRoom<Data = any>(peer: PeerOfRooms, name: string, data?: JsonOnly<Data>): Promise<Room<Data>>;

export interface Room<Data = any> {
  readonly name: string;
  /** The data of all members by their ids, this one's too. */
  readonly members: ReadonlyMap<string, Data>;
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
