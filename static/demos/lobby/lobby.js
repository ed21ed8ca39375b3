import { joinRoom } from '../../client/rooms/rooms.js';
import { openPeer, watchLoss } from '../../shared/peer.js';
import { hidePrompt, showPrompt } from '../../shared/prompt.js';
import { setStatus } from '../../shared/status.js';
import { Chat } from './chat.js';
import { GroupCall } from './group-call.js';
import { Near } from './near.js';
import { People, nameOf } from './people.js';

/** Shows who is in a room of the broker, and lets them chat and call each other. */
export class Lobby {
  #name;
  #me;
  #peer;
  #room;
  #people = new People();
  #chat = new Chat((text) => this.#say(text));
  #call = new GroupCall(this.#people);
  #near;

  /** `showLink(code)` shows the link of another lobby. */
  constructor(code, name, showLink) {
    this.#name = `lobby ${code}`;
    this.#me = { name };
    this.#near = new Near({ code, name }, (other) => {
      showLink(other);
      this.#move(other);
    });
    // Before the link closes the connection: the others need not wait for a timeout.
    window.addEventListener('pagehide', () => {
      this.#near.leave();
      this.#room?.leave();
    });
  }

  async start() {
    setStatus('connecting', 'Connecting to the broker…');
    hidePrompt();
    try {
      this.#peer = await openPeer('lobby');
    } catch (error) {
      this.#explain(error.message, () => this.start());
      return;
    }
    // The room survives a reconnect of its peer.
    this.#peer.on('open', () => this.#room && this.#show());
    watchLoss(this.#peer, (why, isForGood) => {
      if (isForGood) this.#explain(why, () => location.reload());
      else setStatus('retrying', 'Reconnecting…');
    });
    this.#join();
    this.#near.look(this.#peer);
  }

  /** Goes to another lobby. */
  async #move(code) {
    const room = this.#room;
    this.#room = undefined;
    this.#name = `lobby ${code}`;
    await room?.leave();
    await this.#join();
  }

  async #join() {
    try {
      const room = (this.#room = await joinRoom(this.#peer, this.#name, this.#me));
      room.on('joined', ({ data }) => this.#changed(`${nameOf(data)} has come in.`));
      room.on('left', ({ data }) => this.#changed(`${nameOf(data)} has left.`));
      room.on('updated', () => this.#show());
      room.on('message', ({ from, payload }) => {
        this.#chat.add(from ? nameOf(room.members.get(from)) : 'The server', payload?.text);
      });
      room.on('closed', ({ error }) => this.#closed(error));
      this.#call.room = room;
      hidePrompt();
      this.#show();
    } catch (error) {
      this.#closed(error);
    }
  }

  #closed(error) {
    // It has left, for another lobby.
    if (!error) return;
    this.#room = undefined;
    this.#explain(`${error.message}.`, () => this.#join());
  }

  #explain(text, again) {
    setStatus('failed', 'Not in the lobby');
    showPrompt({ title: 'You are not in this lobby', text, buttons: [{ name: 'again', label: 'Try again', action: again }] });
  }

  #changed(note) {
    this.#chat.note(note);
    this.#show();
  }

  #show() {
    if (!this.#peer.open) return;
    const { members } = this.#room;
    this.#people.show(members, this.#peer.id);
    const others = members.size - 1;
    if (others === 0) setStatus('ready', 'Nobody else is here');
    else setStatus('connected', `${others} ${others === 1 ? 'other is' : 'others are'} here`);
  }

  /** Shows a message where the others see it: the answer has its place in the order of the room. */
  async #say(text) {
    if (!this.#room) throw new Error('You are not in the lobby');
    await this.#room.send({ text });
    this.#chat.add('You', text);
  }
}
