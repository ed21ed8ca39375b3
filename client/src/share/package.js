// `peerbroker/share` of npm.

import { encode } from 'uqr';
import { sharing } from './sharing.js';

export const { shareLink, qrCode } = sharing(encode, null);
