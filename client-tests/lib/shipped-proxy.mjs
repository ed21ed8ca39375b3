// Runs the proxies of deploy/ as shipped; only addresses, ports, names and certificates are replaced.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { listensOn } from './network/programs.mjs';
import { selfSigned } from './server.mjs';
import { until, within } from './within.mjs';

const root = resolve(import.meta.dirname, '../..');

/** The rest of an nginx.conf like Debian's, beside the shipped file: one process, with its files in the folder. */
const aroundNginx = (folder) => `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}`;

const commandOfNginx = (file, folder) => ['nginx', '-e', 'stderr', '-p', folder, '-c', file];

/** The command of each proxy, and the replacements in its file. */
const KINDS = {
  nginx: {
    example: 'nginx.conf',
    changes: ({ host, port, plainPort, target, key, cert }) => [
      ['server 127.0.0.1:9000;', `server 127.0.0.1:${target};`],
      ['listen 443 ssl;', `listen ${host}:${port} ssl;`],
      ['listen [::]:443 ssl;', ''],
      ['listen 80;', `listen ${host}:${plainPort};`],
      ['listen [::]:80;', ''],
      ['/etc/letsencrypt/live/broker.example.com/fullchain.pem', cert],
      ['/etc/letsencrypt/live/broker.example.com/privkey.pem', key],
    ],
    around: (config, folder) => `
      ${aroundNginx(folder)}
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
        ${config}
      }`,
    // As behind Cloudflare.
    clientHeader: 'CF-Connecting-IP',
    behindAnother: (config) => `set_real_ip_from 127.0.0.0/8; real_ip_header CF-Connecting-IP;\n${config}`,
    command: commandOfNginx,
  },
  // Without TLS, in front of several nodes.
  'nginx-nodes': {
    example: 'cluster/nginx.conf',
    hasNodes: true,
    changes: ({ port, nodes }) => [
      ['server broker:9000 max_fails=0;', nodes.map((node) => `server 127.0.0.1:${node.port} max_fails=0;`).join(' ')],
      ['listen 80;', `listen 127.0.0.1:${port};`],
    ],
    around: (config, folder) => KINDS.nginx.around(config, folder),
    command: commandOfNginx,
  },
  caddy: {
    example: 'Caddyfile',
    changes: ({ port, target, key, cert }) => [
      ['broker.example.com {', `https://127.0.0.1:${port} {\n\tbind 127.0.0.1\n\ttls ${cert} ${key}`],
      ['reverse_proxy {$BROKER:127.0.0.1:9000}', `reverse_proxy 127.0.0.1:${target}`],
    ],
    around: (config) => `{\n\tadmin off\n\tauto_https off\n}\n${config}`,
    clientHeader: 'X-Forwarded-For',
    behindAnother: (config) => config.replace('transport http', 'trusted_proxies 127.0.0.0/8\n\t\ttransport http'),
    command: (file) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
  },
  haproxy: {
    example: 'haproxy.cfg',
    passesTcp: true,
    changes: ({ host, port, target }) => [
      ['bind :443', `bind ${host}:${port}`],
      ['bind [::]:443 v6only', ''],
      ['server broker 127.0.0.1:8443', `server broker 127.0.0.1:${target}`],
    ],
    around: (config) => config,
    command: (file) => ['haproxy', '-db', '-f', file],
  },
  'nginx-stream': {
    example: 'nginx-stream.conf',
    passesTcp: true,
    changes: ({ host, port, target }) => [
      ['listen 443;', `listen ${host}:${port};`],
      ['listen [::]:443;', ''],
      ['proxy_pass 127.0.0.1:8443;', `proxy_pass 127.0.0.1:${target};`],
    ],
    around: (config, folder) => `load_module ${nginxStream()};\n${aroundNginx(folder)}\n${config}`,
    command: commandOfNginx,
  },
};

/** Those that end TLS and pass HTTP on, and those that pass TCP on. */
export const SHIPPED = Object.keys(KINDS).filter((kind) => !KINDS[kind].passesTcp && !KINDS[kind].hasNodes);
export const SHIPPED_FOR_TCP = Object.keys(KINDS).filter((kind) => KINDS[kind].passesTcp);

/**
 * Starts a proxy in front of a server, and waits until it listens. With `outer`, it believes the
 * `clientHeader` of this machine, as behind a CDN, so that a test can come from any address. `edit` makes a mistake in the file.
 * On a `network`, it runs on the server there, at port 443. nginx for HTTP and Caddy have the `certificate`.
 */
export async function startShippedProxy(
  kind, server, { nodes = [server], outer = false, edit = (config) => config, network = undefined, certificate = selfSigned() } = {},
) {
  const { example, changes, around, behindAnother, clientHeader, command } = KINDS[kind];
  const folder = mkdtempSync(join(tmpdir(), `peerbroker-${kind}-`));
  const host = network?.address ?? '127.0.0.1';
  const port = network ? 443 : await freePort();
  const plainPort = network ? 80 : await freePort();
  let config = readFileSync(join(root, 'deploy', example), 'utf8');
  for (const [shipped, other] of changes({ host, port, plainPort, target: server.port, nodes, ...certificate })) {
    if (!config.includes(shipped)) throw new Error(`deploy/${example} has no ${shipped}`);
    config = config.replace(shipped, other);
  }
  config = edit(config);
  if (outer) config = behindAnother(config);
  const file = join(folder, basename(example));
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, around(config, folder));

  const [name, ...words] = command(file, folder);
  const [program, args] = network?.server.command(find(name), ...words) ?? [find(name), words];
  const env = { PATH: process.env.PATH, HOME: folder };
  const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  let said = '';
  child.stderr.on('data', (bytes) => { said += bytes; });
  const exited = once(child, 'close');

  const proxy = {
    host,
    port,
    plainPort,
    clientHeader,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      process.off('exit', killWithUs);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const died = exited.then(([code]) => {
    throw new Error(`${kind} ended (${code}) and said:\n${said}`);
  });
  died.catch(() => {});
  try {
    await within(() => `${kind} to listen; it said:\n${said}`, Promise.race([network ? listensOn(network.server, host, port) : listens(port), died]));
  } catch (error) {
    await proxy.stop();
    throw error;
  }
  return proxy;
}

/** Installed on this machine, or unpacked by scripts/setup.sh. */
export function find(program) {
  const unpacked = join(root, 'target/proxies/usr');
  const folders = [...process.env.PATH.split(':'), '/usr/sbin', join(unpacked, 'sbin'), join(unpacked, 'bin')];
  const found = folders.map((folder) => join(folder, program)).find(existsSync);
  if (!found) throw new Error(`${program} is missing: make setup`);
  return found;
}

/** The module of nginx that passes TCP on. */
function nginxStream() {
  const module = 'usr/lib/nginx/modules/ngx_stream_module.so';
  const found = ['/', join(root, 'target/proxies')].map((folder) => join(folder, module)).find(existsSync);
  if (!found) throw new Error(`${module} is missing: make setup`);
  return found;
}

/**
 * Picks a free port, because neither these proxies nor coturn support port 0. It is below those that systems give to clients and for
 * port 0, so no other test gets it before the proxy.
 */
export async function freePort() {
  for (;;) {
    const port = 10_000 + randomInt(20_000);
    const server = net.createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Ready when something listens there. */
export const listens = (port) => until(`port ${port} to be open`, async () => {
  const socket = net.connect(port, '127.0.0.1');
  const opened = once(socket, 'connect').then(() => true, () => false);
  return opened.finally(() => socket.destroy());
});
