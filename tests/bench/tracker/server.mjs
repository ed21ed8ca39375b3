#!/usr/bin/env node
// The package's own program also loads the client, whose native code is not installed.

import { parseArgs } from 'node:util';
import Server from 'bittorrent-tracker/server';

const { port } = parseArgs({ options: { port: { type: 'string' } } }).values;
new Server({ http: false, udp: false, stats: false }).listen(Number(port), '127.0.0.1');
