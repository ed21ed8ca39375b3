import api from './index.js';

export const { ExpressPeerServer, MessageType, PeerServer } = api;
