// Conversations of two people with clients of the server. Each function connects a caller on host `a` with a callee on host `b`, and gives
//
// - `works`: resolves when what is said from now on arrives;
// - `ways`: how each side goes, as `Client.way` tells;
// - `again`: resolves when they are connected anew. The call demo leaves that to people;
// - `clients`: both clients of PeerJS, where the test has them.
//
// `a` and `b` are options of browsers: see `launchOn`. With `served`, a page has the PeerJS of the server.

import assert from 'node:assert/strict';
import { PATIENCE } from './within.mjs';

/** More than a browser has waiting: a picture of the past proves nothing. */
const NEW_PICTURES = 60;

/** A data connection of a PeerJS release. */
export const data = (version) => async (stage, server, options) => {
  const { alice, bob } = await peers(stage, server, version, options);
  const line = await alice.connect('bob');
  return {
    // The other side echoes.
    works: async () => assert.equal(await line.echo('hello'), 'hello'),
    ways: () => Promise.all([alice.way(), bob.way()]),
    again: () => alice.connect('bob'),
    clients: [alice, bob],
  };
};

/** A call of a PeerJS release, with camera and microphone. */
export const media = (version) => async (stage, server, options) => {
  const { alice, bob } = await peers(stage, server, version, options);
  const again = async () => {
    await alice.call('bob');
    await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
  };
  await again();
  return {
    works: () => seeEachOther(alice, bob),
    ways: () => Promise.all([alice.way(), bob.way()]),
    again,
    clients: [alice, bob],
  };
};

/** The party game. The caller is the phone. */
export async function partyGame(stage, server, { a, b }) {
  const screen = await stage.visit('b', demo(server, 'party'), b);
  await reads(screen, '#status', 'Waiting for players');
  const phone = await stage.visit('a', await invitation(screen), a);
  // Before its scripts run, the browser itself sends the form, and loads the page anew.
  await reads(phone, '#status', 'Not in a game yet');
  await phone.run(() => {
    document.querySelector('#name').value = 'Anna';
    document.querySelector('#take-seat').click();
  });
  await reads(screen, '#status', '1 player');
  await reads(phone, '#my-state', 'You are in');
  return {
    // SCTP acknowledges it, so the way back works too.
    async works() {
      await press(screen, '#start');
      await reads(phone, '#my-state', 'Get ready');
    },
    ways: () => waysOf(phone, screen),
    // The phone does that itself.
    again: () => reads(phone, '#my-state', 'Collect the dots!'),
  };
}

/** The call demo. The caller opens the callee's link. */
export async function callDemo(stage, server, { a, b }) {
  const bob = await stage.visit('b', demo(server, 'call'), b);
  await reads(bob, '#status', 'Waiting for a call');
  const alice = await stage.visit('a', await invitation(bob), a);
  await press(bob, '#prompt [data-name="accept"]');
  await Promise.all([alice, bob].map((page) => reads(page, '#status[data-state="connected"]', '')));
  return { works: () => seeEachOther(alice, bob), ways: () => waysOf(alice, bob) };
}

async function peers(stage, server, version, { a, b }) {
  const alice = await stage.client('a', { version, ...a });
  const bob = await stage.client('b', { version, ...b });
  if (a.served) await alice.loadServed(stage.seenFrom('a', server));
  if (b.served) await bob.loadServed(stage.seenFrom('b', server));
  await bob.open(stage.seenFrom('b', server), 'bob');
  await alice.open(stage.seenFrom('a', server), 'alice');
  return { alice, bob };
}

const demo = ({ host, port }, name) => `http://${host}:${port}/broker/${name}/`;

const invitation = (page) => page.run(() => document.querySelector('#join-link').href);

const waysOf = (...pages) => Promise.all(pages.map((page) => page.run(() => window.wayOf(window.connections.at(-1)))));

/** Both sides get new pictures: the latest video that is not the page's own. */
const seeEachOther = (...pages) => Promise.all(pages.map((page) => page.run(async (enough) => {
  const [video] = [...document.querySelectorAll('video:not(#local)')].slice(-1);
  for (let seen = 0; seen < enough; seen += 1) {
    await new Promise((done) => { video.requestVideoFrameCallback(done); });
  }
}, NEW_PICTURES)));

/** Waits until an element is there, and its text begins with these words. Otherwise the error has all the words of the page. */
async function reads(page, selector, words) {
  const instead = await page.run(({ selector, words, patience }) => new Promise((done) => {
    const timer = setTimeout(() => done(document.body.innerText), patience);
    const look = () => {
      if (!document.querySelector(selector)?.textContent.startsWith(words)) return;
      clearTimeout(timer);
      done();
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  }), { selector, words, patience: PATIENCE - 2_000 });
  if (instead !== undefined) throw new Error(`${selector} never reads ${words} in: ${instead}`);
}

/** Clicks an element as soon as it is there. */
async function press(page, selector) {
  await reads(page, selector, '');
  await page.run((selector) => document.querySelector(selector).click(), selector);
}
