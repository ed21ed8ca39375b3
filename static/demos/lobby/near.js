import { joinRoom } from '../../client/rooms/rooms.js';
import { h } from '../../shared/dom.js';
import { hasNear, needsPin } from '../../shared/settings.js';
import { nameOf } from './people.js';

const LONGEST = 60;

const element = (id) => document.getElementById(id);

/** The lobbies that others of the same network show, each a tap away. Nobody sees this one before its people show it. */
export class Near {
  #me;
  #enter;
  #peer;
  #pin;
  #room;
  #isShown = false;

  /** `me` has the `name` of this person and the `code` of the lobby; `enter(code)` goes to another one. */
  constructor(me, enter) {
    this.#me = me;
    this.#enter = enter;
    element('near').hidden = !hasNear;
    element('near-pin').hidden = !needsPin;
    element('near-pin').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#pin = element('pin').value;
      this.#join();
    });
    element('near-show').addEventListener('click', () => this.#show(!this.#isShown));
  }

  /** Looks for others as this peer. */
  look(peer) {
    this.#peer = peer;
    if (hasNear && (this.#pin || !needsPin)) this.#join();
  }

  leave() {
    return this.#room?.leave();
  }

  /** @returns {{ name?: string, lobby?: string }} */
  get #data() {
    return this.#isShown ? { name: this.#me.name, lobby: this.#me.code } : {};
  }

  async #join() {
    const former = this.#room;
    this.#room = undefined;
    try {
      await former?.leave();
      const room = await joinRoom(this.#peer, this.#pin ? `~near:${this.#pin}` : '~near', this.#data);
      this.#room = room;
      for (const change of /** @type {const} */ (['joined', 'updated', 'left'])) room.on(change, () => this.#list());
      room.on('closed', ({ error }) => error && this.#fail(error));
      element('near-open').hidden = false;
      this.#list();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    element('near-open').hidden = false;
    element('near-show').hidden = true;
    element('near-lobbies').replaceChildren();
    element('near-note').textContent = `${error.message}.`;
  }

  #list() {
    const shown = [...this.#room?.members.values() ?? []].filter((data) => isLobby(data?.lobby) && data.lobby !== this.#me.code);
    const names = new Map();
    for (const data of shown) names.set(data.lobby, [...names.get(data.lobby) ?? [], nameOf(data)]);
    element('near-lobbies').replaceChildren(...Array.from(names, ([lobby, people]) => this.#item(lobby, people)));
    element('near-note').textContent = names.size > 0 ? '' : 'Nobody else on this network shows a lobby.';
    element('near-show').hidden = false;
  }

  #item(lobby, people) {
    const enter = () => {
      this.#me = { ...this.#me, code: lobby };
      this.#enter(lobby);
      this.#show(false);
    };
    return h('li', {}, h('button', { class: 'button small', type: 'button', onclick: enter }, `Enter the lobby of ${people.join(', ')}`));
  }

  async #show(isShown) {
    this.#isShown = isShown;
    element('near-show').setAttribute('aria-pressed', String(isShown));
    this.#list();
    await this.#room?.update(this.#data).catch((error) => this.#fail(error));
  }
}

const isLobby = (code) => typeof code === 'string' && code !== '' && code.length <= LONGEST;
