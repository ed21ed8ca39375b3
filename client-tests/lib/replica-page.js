// Runs in the pages of a replicated database: RxDB with its replication over WebRTC, as apps have it. Built by pages.mjs.

import { createRxDatabase } from 'rxdb/plugins/core';
import { getConnectionHandlerSimplePeer, replicateWebRTC } from 'rxdb/plugins/replication-webrtc';
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory';

const schema = {
  version: 0,
  primaryKey: 'id',
  type: 'object',
  properties: { id: { type: 'string', maxLength: 20 }, text: { type: 'string' } },
};

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  let notes;

  async function create() {
    const database = await createRxDatabase({ name: 'notes', storage: getRxStorageMemory(), multiInstance: false });
    ({ notes } = await database.addCollections({ notes: { schema } }));
  }

  /** Runs code of a page's snippet, which replicates its `collection`. */
  async function run(code) {
    await create();
    const names = ['collection', 'getConnectionHandlerSimplePeer', 'replicateWebRTC'];
    new Function(...names, code)(notes, getConnectionHandlerSimplePeer, replicateWebRTC);
  }

  /** Opens the database, on the way of this server. */
  async function open({ url, room }) {
    // RxDB asks for this part of Node. The snippets of pages have their own.
    Object.assign(window, { process: { nextTick: (act, ...all) => queueMicrotask(() => act(...all)) } });
    await create();
    const pool = await replicateWebRTC({
      collection: notes,
      topic: room,
      connectionHandlerCreator: getConnectionHandlerSimplePeer({ signalingServerUrl: url, config: { iceServers: [] } }),
      pull: {},
      push: {},
    });
    pool.error$.subscribe((error) => record('error', String(error)));
    let met = 0;
    pool.peerStates$.subscribe(({ size }) => {
      if (size > met) record('met', size);
      if (size < met) record('lost', size);
      met = size;
    });
    notes.count().$.subscribe((documents) => record('documents', documents));
  }

  /** Adds so many documents. */
  const add = ({ from, count: many }) => notes.bulkInsert(
    Array.from({ length: many }, (_, i) => ({ id: `note ${from + i}`, text: 'x'.repeat(100) })),
  ).then(({ error }) => error.length);

  /** Resolves when there are so many documents. */
  const holds = (wanted) => new Promise((resolve) => {
    const counting = notes.count().$.subscribe((documents) => {
      if (documents !== wanted) return;
      queueMicrotask(() => counting.unsubscribe());
      resolve(documents);
    });
  });

  return { open, run, add, holds, next, must, count, story };
})();
