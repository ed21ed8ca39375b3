// The app that most people write around PeerJS: Express with EJS, rooms of socket.io, and peers, on one server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ejs from 'ejs';
import express5 from 'express';
import express4 from 'express4';
import { Server as SocketIo } from 'socket.io';
import { io } from 'socket.io-client';
import { everyClient } from '../lib/every-client.mjs';
import { endServer, text } from '../lib/node-api.mjs';
import { serverOf } from '../lib/node-app.mjs';
import { loadPackage } from '../lib/npm-package.mjs';
import { scratch } from '../lib/scratch.mjs';
import { within } from '../lib/within.mjs';

const { ExpressPeerServer } = loadPackage();
const views = scratch();
writeFileSync(join(views, 'room.ejs'), '<title><%= room %></title>');

// Older releases try a stream over HTTP first, which `peer` 1.x has no more, and tell an error.
const unless = (release) => release.streams;

for (const [version, express] of [['4', express4], ['5', express5]]) {
  everyClient(`reaches another one through a room of Express ${version}, EJS and socket.io`, { unless }, async (stage) => {
    const { app, server } = serverOf(express);
    const rooms = new SocketIo(server);
    app.engine('ejs', ejs.renderFile).set('view engine', 'ejs').set('views', views);
    app.use('/peerjs', ExpressPeerServer(server, { debug: true }));
    app.get('/:room', (req, res) => res.render('room', { room: req.params.room }));
    rooms.on('connection', (socket) => {
      socket.on('join-room', (room, id, joined) => {
        socket.join(room);
        socket.to(room).emit('user-connected', id);
        joined();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {any} */ (server.address());
    const [host, url] = ['127.0.0.1', `http://127.0.0.1:${port}`];
    const members = ['websocket', 'polling'].map((transport) => io(url, { transports: [transport], reconnection: false }));
    const connected = within('socket.io', Promise.all(members.map((member) => heardBy(member, 'connect'))));
    try {
      assert.equal(await text(`${url}/kitchen`), '<title>kitchen</title>');
      await connected;
      const peers = [await stage.client(), await stage.client()];
      const ids = [];
      for (const peer of peers) ids.push(await peer.open({ host, port }, undefined, { path: '/peerjs' }));
      const heard = heardBy(members[0], 'user-connected');
      for (const [at, member] of members.entries()) await within('the room', member.emitWithAck('join-room', 'kitchen', ids[at]));
      const newcomer = await within('user-connected', heard);
      const line = await peers[0].connect(newcomer);
      assert.equal(await line.echo('hello'), 'hello');
    } finally {
      members.forEach((member) => member.close());
      await endServer(server);
    }
  });
}

/** `once` of Node knows nothing of the emitters of socket.io. */
function heardBy(member, event) {
  return new Promise((resolve) => member.once(event, resolve));
}
