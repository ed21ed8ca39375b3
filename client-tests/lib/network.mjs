// Networks of two hosts and a server, made of network namespaces: only root on Linux can make them.
//
// All addresses are reserved for documentation. Nothing outside is reachable from there.

import { execFileSync } from 'node:child_process';
import { Namespace, ip, removeOrphans } from './network/namespace.mjs';

/** Why there can be no networks here, as a text for a test that is skipped; `false` if there can. Fails where `CI` is set. */
export const noNetworks = whyNot();
if (noNetworks && process.env.CI) throw new Error(`the tests need networks: ${noNetworks}`);

function whyNot() {
  if (process.getuid?.() !== 0) return 'only root can make network namespaces';
  for (const program of ['ip', 'nft']) {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'pipe' });
    } catch {
      return `${program} is not installed`;
    }
  }
  removeOrphans();
  let attempt;
  try {
    // In a container, root may not.
    attempt = new Namespace('attempt');
    attempt.ip('link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'other');
    attempt.forwarding(true);
    attempt.filter('table ip nat { chain out { type nat hook postrouting priority 100; masquerade random; }; }\n');
  } catch (error) {
    return `network namespaces do not work here: ${error.message.split('\n')[0]}`;
  } finally {
    attempt?.remove();
  }
  return false;
}

/** The address of the server in every network. */
const SERVER = { v4: '203.0.113.1', v6: '2001:db8:1::1' };

/** The names of the server's ports to both hosts. */
const PORT = { a: 'port-a', b: 'port-b' };

/** Hosts `a` and `b`, and `server`. Ends with `stop`, and with the process. */
export class Network {
  #machines = {};
  server;
  a;
  b;

  /** `a` and `b` reach the server, and nothing reaches one from the other. `ipv6` adds addresses of that family. */
  static apart({ ipv6 = false } = {}) {
    return Network.#build((network) => {
      const { server, a, b } = network;
      server.addAddress('lo', `${SERVER.v4}/32`);
      if (ipv6) server.addAddress('lo', `${SERVER.v6}/128`);
      lead(server, PORT.a, a, ipv6 ? ['198.51.100', '2001:db8:a:'] : ['198.51.100']);
      lead(server, PORT.b, b, ipv6 ? ['192.0.2', '2001:db8:b:'] : ['192.0.2']);
      server.forwarding(false);
    });
  }

  /**
   * `a` and `b` are behind a NAT each, which uses another port for each address that they send to. The server is also the
   * internet between both.
   */
  static symmetricNats() {
    return Network.#build((network) => {
      const { server, a, b } = network;
      server.addAddress('lo', `${SERVER.v4}/32`);
      server.forwarding(true);
      for (const [host, port, outside, inside] of [
        [a, PORT.a, '198.51.100', '192.168.1'],
        [b, PORT.b, '192.0.2', '192.168.2'],
      ]) {
        const nat = network.#add(`nat-${port}`);
        lead(server, port, nat, [outside], 'outside');
        lead(nat, 'inside', host, [inside]);
        nat.forwarding(true);
        nat.filter(`
          table ip symmetric {
            chain outwards {
              type nat hook postrouting priority 100;
              oifname "outside" masquerade random,fully-random
            }
          }
        `);
      }
    });
  }

  /** `a`, `b` and the server are in one local network. */
  static together() {
    return Network.#build(({ server, a, b }) => {
      server.ip('link', 'add', 'name', 'switch', 'type', 'bridge');
      server.addAddress('switch', `${SERVER.v4}/24`);
      for (const [host, port, address] of [[a, PORT.a, '203.0.113.2'], [b, PORT.b, '203.0.113.3']]) {
        connect(server, port, host, 'eth0');
        server.ip('link', 'set', port, 'master', 'switch', 'up');
        host.addAddress('eth0', `${address}/24`);
        host.ip('route', 'add', 'default', 'via', SERVER.v4);
      }
    });
  }

  static #build(lay) {
    const network = new Network();
    try {
      for (const name of ['server', 'a', 'b']) network[name] = network.#add(name);
      lay(network);
    } catch (error) {
      network.stop();
      throw error;
    }
    return network;
  }

  /** The IPv4 address of the server. */
  get address() {
    return SERVER.v4;
  }

  #add(role) {
    return (this.#machines[role] = new Namespace(role));
  }

  /** From now on nothing passes between `a` and `b`, as when somebody leaves the local network. Both keep the server. */
  cutDirectPath() {
    // Without a word: packets get lost as on the internet, ARP still works.
    this.server.filter(`
      table bridge between {
        chain both_ways {
          type filter hook forward priority 0;
          ether type { ip, ip6 } drop
        }
      }
    `);
  }

  /** Undoes `cutDirectPath`. */
  mendDirectPath() {
    this.server.filter('delete table bridge between\n');
  }

  /** From now on no UDP from or to `a` passes, or another host. */
  blockUdp(host = 'a') {
    const port = PORT[host];
    const nat = this.#machines[`nat-${port}`];
    block(this.server, port);
    block(nat ?? this[host], nat ? 'outside' : 'eth0');
  }

  /** From now on nothing but TCP to one port passes from `a`, or another host of a network without NATs. */
  letOutOnlyTcpTo(port, host = 'a') {
    const device = PORT[host];
    this.server.filter(`
      table netdev only_tcp {
        chain from_${device.replace('-', '_')} {
          type filter hook ingress device "${device}" priority 0;
          tcp dport ${port} accept
          meta protocol { ip, ip6 } drop
        }
      }
    `);
  }

  stop() {
    // Hosts first: their programs may need the server to end.
    for (const machine of Object.values(this.#machines).reverse()) machine.remove();
    this.#machines = {};
  }
}

/** Drops UDP that comes in at a device. */
function block(machine, device) {
  machine.filter(`
    table netdev no_udp {
      chain from_${device.replace('-', '_')} {
        type filter hook ingress device "${device}" priority 0;
        meta l4proto udp drop
      }
    }
  `);
}

/** Makes a cable between two machines, and a network on it, through which the second one reaches everything. */
function lead(router, port, host, prefixes, device = 'eth0') {
  connect(router, port, host, device);
  for (const prefix of prefixes) {
    const [at, size] = prefix.includes(':') ? [`${prefix}:`, 64] : [`${prefix}.`, 24];
    router.addAddress(port, `${at}1/${size}`);
    host.addAddress(device, `${at}2/${size}`);
    host.ip('route', 'add', 'default', 'via', `${at}1`);
  }
}

function connect(router, port, host, device) {
  ip('link', 'add', 'name', port, 'netns', router.name, 'type', 'veth', 'peer', 'name', device, 'netns', host.name);
}
