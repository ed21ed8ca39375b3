import api from './index.js';

export const { ExpressPeerServer, PeerServer } = api;
