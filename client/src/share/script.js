// For <script src>: the server puts the library and the address of its machine in front.

import { sharing } from './sharing.js';

/* global lanHost, qrcode */
Object.assign(window, sharing(qrcode, lanHost));
