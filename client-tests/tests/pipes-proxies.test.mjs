// Browsers that reach everything through a proxy with CONNECT, WebRTC too: it finds no path, and data goes over the broker through the proxy.

import assert from 'node:assert/strict';
import { launchChromium } from '../lib/chromium.mjs';
import { Client } from '../lib/client.mjs';
import { startConnectProxy } from '../lib/connect-proxy.mjs';
import { START, launchFirefox } from '../lib/firefox.mjs';
import { PIPE_PAGE, makePipeSite, talkOverBroker } from '../lib/pipe-site.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { within } from '../lib/within.mjs';

const BROWSERS = {
  async chromium(port) {
    const browser = await launchChromium({}, {
      args: [
        `--proxy-server=127.0.0.1:${port}`,
        // Otherwise loopback needs no proxy.
        '--proxy-bypass-list=<-loopback>',
        '--force-webrtc-ip-handling-policy=disable_non_proxied_udp',
      ],
    });
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    return { newPage: () => context.newPage(), stop: () => browser.close() };
  },
  async firefox(port) {
    const browser = await launchFirefox({
      'network.proxy.type': 1,
      'network.proxy.ssl': '127.0.0.1',
      'network.proxy.ssl_port': port,
      'network.proxy.allow_hijacking_localhost': true,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.proxy_only': true,
    }, { acceptInsecureCerts: true });
    return { newPage: browser.newPage, stop: browser.close };
  },
};

for (const [name, start] of Object.entries(BROWSERS)) {
  testOn(`behind a proxy with CONNECT, two pages of ${name} send over the broker`, () => new Stage(), async (stage) => {
    // The broker refuses what does not come through the proxy.
    const server = await stage.server(['--ban', '127.0.0.1', '--static_dir', makePipeSite()], { tls: true });
    const proxy = await stage.keep('proxies', startConnectProxy(server));
    const browser = await stage.keep('browsers', within(`${name} to start`, start(proxy.port), START));
    const open = async () => {
      const page = await within('a page', browser.newPage());
      return stage.keep('pages', Client.open(page, `https://127.0.0.1:${server.port}/${PIPE_PAGE}`, () => page.close()));
    };
    const [alice, bob] = [await open(), await open()];

    await talkOverBroker(alice, bob, server);

    // The pages, two WebSockets of PeerJS, and two of the pipe.
    assert.ok(proxy.connections >= 5, `${proxy.connections} connections through the proxy`);
  });
}
