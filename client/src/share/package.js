// `peerbroker/share` of npm.

import qrcode from 'qrcode-generator';
import { sharing } from './sharing.js';

export const { shareLink, qrCode } = sharing(qrcode, null);
