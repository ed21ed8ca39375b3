// Networks of two hosts and a server, made of network namespaces: only root on Linux can make them.
//
// All addresses are reserved for documentation. Nothing outside is reachable from there.

import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
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
const PORT = { a: 'port-a', b: 'port-b', spare: 'port-spare' };

/** The networks of both hosts where they are apart. */
const PREFIX = { a: { v4: '198.51.100', v6: '2001:db8:a:' }, b: { v4: '192.0.2', v6: '2001:db8:b:' } };

const IPV4 = ['v4'];

/** The ways in which host `a` changes its network: see `Network.move`. */
export const MOVES = ['other interface', 'new address', 'both at once'];

/** A browser looks at the interfaces of its machine every 2 s (Chromium) or when the system tells it (Firefox). */
const TO_NOTICE = 3_000;

/** Hosts `a` and `b`, and `server`. Ends with `stop`, and with the process. */
export class Network {
  #machines = {};
  #families = { a: IPV4, b: IPV4 };
  #public;
  /** Another address of `a`, and that of its second interface, with their ways out. */
  #new;
  #spare;
  server;
  second;
  a;
  b;

  /**
   * `a` and `b` reach the server, and nothing reaches one from the other. Each has addresses of its families: `v4`, `v6` or
   * both. `a` can `move`, with IPv4.
   */
  static apart({ a: familiesOfA = IPV4, b: familiesOfB = IPV4 } = {}) {
    return Network.#build((network) => {
      const { server, a, b } = network;
      network.#families = { a: familiesOfA, b: familiesOfB };
      server.addAddress('lo', `${SERVER.v4}/32`);
      if (network.hasIpv6) server.addAddress('lo', `${SERVER.v6}/128`);
      lead(server, PORT.a, a, familiesOfA.map((family) => PREFIX.a[family]));
      lead(server, PORT.b, b, familiesOfB.map((family) => PREFIX.b[family]));
      server.forwarding(false);
      connect(server, PORT.spare, a, 'eth1');
      server.addAddress(PORT.spare, '203.0.113.129/25');
      network.#new = { address: '198.51.100.3/24', gateway: '198.51.100.1' };
      network.#spare = { address: '203.0.113.130/25', gateway: '203.0.113.129' };
    });
  }

  /** All are in the internet, and the server is behind a NAT that forwards ports 3478, 5349, its TURN ports and TCP to it. */
  static serverBehindNat(turnPorts) {
    return Network.#build((network) => {
      const { server, a, b } = network;
      const internet = network.#add('internet');
      lead(internet, PORT.a, a, [PREFIX.a.v4]);
      lead(internet, PORT.b, b, [PREFIX.b.v4]);
      const nat = network.#add('nat');
      lead(internet, 'port-nat', nat, ['203.0.113'], 'outside');
      lead(nat, 'inside', server, ['192.168.1']);
      [internet, nat].forEach((router) => router.forwarding(true));
      network.#public = '203.0.113.2';
      nat.filter(`
        table ip nat {
          chain inwards {
            type nat hook prerouting priority -100;
            iifname "outside" udp dport { 3478, 5349, ${turnPorts} } dnat to ${server.at}
            iifname "outside" meta l4proto tcp dnat to ${server.at}
          }
          chain outwards {
            type nat hook postrouting priority 100;
            oifname "outside" masquerade
          }
        }
      `);
    });
  }

  /** Two servers in the internet, `server` and `second`, and both hosts. Everybody reaches everybody. */
  static twoServers() {
    return Network.#build((network) => {
      const { server, a, b } = network;
      network.second = network.#add('second');
      lead(server, 'port-second', network.second, ['203.0.113']);
      lead(server, PORT.a, a, [PREFIX.a.v4]);
      lead(server, PORT.b, b, [PREFIX.b.v4]);
      server.forwarding(true);
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
        [a, PORT.a, PREFIX.a.v4, '192.168.1'],
        [b, PORT.b, PREFIX.b.v4, '192.168.2'],
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

  /** `a`, `b` and the server are in one local network. `a` can `move`. */
  static together() {
    return Network.#build((network) => {
      const { server, a, b } = network;
      server.ip('link', 'add', 'name', 'switch', 'type', 'bridge');
      server.addAddress('switch', `${SERVER.v4}/24`);
      for (const [host, port, address] of [[a, PORT.a, '203.0.113.2'], [b, PORT.b, '203.0.113.3']]) {
        connect(server, port, host, 'eth0');
        server.ip('link', 'set', port, 'master', 'switch', 'up');
        host.addAddress('eth0', `${address}/24`);
        host.ip('route', 'add', 'default', 'via', SERVER.v4);
      }
      connect(server, PORT.spare, a, 'eth1');
      server.ip('link', 'set', PORT.spare, 'master', 'switch', 'up');
      network.#new = { address: '203.0.113.4/24', gateway: SERVER.v4 };
      network.#spare = { address: '203.0.113.5/24', gateway: SERVER.v4 };
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

  /** The IPv4 address at which the server is reached. */
  get address() {
    return this.#public ?? SERVER.v4;
  }

  /** The address that the server listens at: its own, or every one of both families. */
  get listen() {
    return this.hasIpv6 ? '::' : this.server.at;
  }

  get hasIpv6() {
    return Object.values(this.#families).some((families) => families.includes('v6'));
  }

  /** The addresses of the server's relay: one of each family. */
  get relays() {
    return this.hasIpv6 ? [SERVER.v4, `[${SERVER.v6}]`] : [SERVER.v4];
  }

  /** The address of the server in URLs of a host. */
  addressFor(host) {
    return this.#families[host].includes('v4') ? this.address : `[${SERVER.v6}]`;
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

  /**
   * Host `a` changes its network like a phone. With another interface, the second one comes up, and then the first one goes
   * down. With a new address, the same interface gets it in place of the first. With both, the first interface goes down,
   * and at once the second one comes up.
   */
  async move(how) {
    const { a } = this;
    const use = (device, { address, gateway }) => {
      a.addAddress(device, address);
      // The first interface has a better metric, and its routes go with it.
      a.ip('route', 'add', 'default', 'via', gateway, 'dev', device, 'metric', '10');
    };
    const leave = () => a.ip('address', 'flush', 'dev', 'eth0');
    const goDown = () => {
      // Otherwise Linux would use its address on the second one.
      leave();
      a.ip('link', 'set', 'eth0', 'down');
    };
    switch (how) {
      case 'other interface':
        use('eth1', this.#spare);
        await pause(TO_NOTICE);
        return goDown();
      case 'new address':
        leave();
        return use('eth0', this.#new);
      case 'both at once':
        goDown();
        return use('eth1', this.#spare);
      default:
        throw new Error(`nobody moves like that: ${how}`);
    }
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
    // The host comes first: Linux may tell a second later that a device runs if the other end was up before it, and programs
    // that look once, as werift and libnice do, see none until then.
    host.addAddress(device, `${at}2/${size}`);
    router.addAddress(port, `${at}1/${size}`);
    host.ip('route', 'add', 'default', 'via', `${at}1`);
  }
}

function connect(router, port, host, device) {
  ip('link', 'add', 'name', port, 'netns', router.name, 'type', 'veth', 'peer', 'name', device, 'netns', host.name);
}
