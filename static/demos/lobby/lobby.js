import { BrokerLink } from '../../shared/broker-link.js';
import { joinRoom } from '../../client/rooms/rooms.js';
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
  #link;
  #peer;
  #room;
  #isLost = false;
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
    this.#link = new BrokerLink('lobby');
    this.#link.addEventListener('open', () => this.#opened());
    this.#link.addEventListener('lost', () => this.#lost());
  }

  start() {
    setStatus('connecting', 'Connecting to the broker…');
    this.#link.start();
  }

  #opened() {
    this.#isLost = false;
    // A room survives a reconnect of its peer.
    if (this.#peer !== this.#link.peer) {
      this.#join();
      this.#near.look(this.#peer);
    } else if (this.#room) this.#show();
  }

  /** Goes to another lobby. */
  async #move(code) {
    const room = this.#room;
    this.#room = undefined;
    this.#name = `lobby ${code}`;
    await room?.leave();
    await this.#join();
  }

  #lost() {
    this.#isLost = true;
    setStatus('retrying', 'Reconnecting…');
  }

  async #join() {
    const peer = (this.#peer = this.#link.peer);
    try {
      const room = (this.#room = await joinRoom(peer, this.#name, this.#me));
      room.on('joined', ({ data }) => this.#changed(`${nameOf(data)} has come in.`));
      room.on('left', ({ data }) => this.#changed(`${nameOf(data)} has left.`));
      room.on('updated', () => this.#show());
      room.on('message', ({ from, payload }) => {
        this.#chat.add(from ? nameOf(room.members.get(from)) : 'The server', payload?.text);
      });
      room.on('closed', ({ error }) => this.#closed(peer, error));
      this.#call.room = room;
      hidePrompt();
      this.#show();
    } catch (error) {
      this.#closed(peer, error);
    }
  }

  #closed(peer, error) {
    // It has left, for another lobby.
    if (!error) return;
    this.#room = undefined;
    // Its link makes another peer.
    if (peer.destroyed) return;
    setStatus('failed', 'Not in the lobby');
    const again = { name: 'again', label: 'Try again', action: () => this.#join() };
    showPrompt({ title: 'You are not in this lobby', text: `${error.message}.`, buttons: [again] });
  }

  #changed(note) {
    this.#chat.note(note);
    this.#show();
  }

  #show() {
    const { members } = this.#room;
    this.#people.show(members, this.#peer.id);
    if (this.#isLost) return;
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
