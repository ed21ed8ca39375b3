// `<script src="https://broker.example/webrtc.js"></script>`: data goes over the broker that serves this file. Where the built-in key has
// another name, the broker writes `{ src, dataset }` for `document.currentScript`.

import { PIPES, enable } from './enable.js';
import { engine, source } from './engine.js';
import { settingsOfScript } from './settings.js';

const settings = settingsOfScript(/** @type {HTMLScriptElement} */ (document.currentScript ?? {}));
// An earlier installation, by the page or a script in front, stays: the page may have named its key there.
const known = globalThis[PIPES];
if (known) known.arrived(engine);
else if (settings) enable(settings, source);
