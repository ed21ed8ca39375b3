// Networks that let nothing but HTTP out: data of unmodified pages with PeerJS and webrtc.js goes over the broker, though their browsers have WebRTC.

import assert from 'node:assert/strict';
import { signedFor } from '../lib/authority.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { PIPE_PAGE, makePipeSite, talkOverBroker } from '../lib/pipe-site.mjs';
import { isThorough } from '../lib/thorough.mjs';

const PAIRS = [
  ['chromium', 'chromium'],
  ['firefox', 'firefox'],
  ...(isThorough ? [['chromium', 'firefox'], ['firefox', 'chromium']] : []),
];

for (const [caller, callee] of PAIRS) {
  onNetwork(`with nothing but nginx in reach, ${caller} sends to ${callee} over the broker`, () => Network.apart(), async (stage) => {
    const { address } = stage.network;
    const certificate = signedFor('broker.test', address);
    // Without the firewall, native WebRTC would go over the relay.
    const server = await stage.server(['--host', '127.0.0.1', '--proxied', '--relay', address, '--static_dir', makePipeSite()]);
    const proxy = await stage.proxy('nginx', server, { certificate });
    for (const host of ['a', 'b']) stage.network.letOutOnlyTcpTo(proxy.port, host);
    const open = (host, browser) => stage.clientAt(
      host, `https://${address}/${PIPE_PAGE}`, { browser, trustsAll: true, authority: certificate.authority },
    );
    const [alice, bob] = [await open('a', caller), await open('b', callee)];
    for (const page of [alice, bob]) assert.match(await page.run(() => String(Object.getPrototypeOf(RTCPeerConnection))), /\[native code\]/);

    await talkOverBroker(alice, bob, { host: address, port: proxy.port, secure: true });
  });
}
