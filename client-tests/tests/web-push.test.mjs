// A phone whose page is closed rings by the listings of docs/USE.md, with the published library, and takes the call.
//
// Chromium has no push service without a network: `pushManager.subscribe` fails, and nothing comes from it. So the page gets a
// subscription of our push service, and DevTools gives the worker the push that this service has decrypted. Nor can a test click a
// notification, and only such a click lets a worker open a window: the worker's listener gets a click made here, and the test opens
// the page that the worker asks for. The rest is real.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import webPush from 'web-push';
import { indented, listing } from '../lib/listings.mjs';
import { startPushService } from '../lib/push-service.mjs';
import { Run } from '../lib/run.mjs';
import { scratch } from '../lib/scratch.mjs';
import { freePort, listens } from '../lib/shipped-proxy.mjs';
import { desktop, urlOf, visit } from '../lib/visit.mjs';
import { until, within } from '../lib/within.mjs';

const clientTests = resolve(import.meta.dirname, '..');
const program = listing('docs/USE.md', 'web-push');
const worker = listing('docs/USE.md', 'notificationclick');
const page = listing('docs/USE.md', 'pushManager');
const [commands] = indented('docs/USE.md').filter((block) => block.includes('web-push'));

/** The app of the listings, with its pages in a folder. */
async function startApp(authority) {
  const folder = scratch();
  mkdirSync(join(folder, 'public'));
  symlinkSync(join(clientTests, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'server.mjs'), program);
  writeFileSync(join(folder, 'public/push.js'), worker);
  const [, makeSecret] = commands.match(/^(echo .*)$/m);
  execFileSync('sh', ['-c', makeSecret], { cwd: folder });
  const secret = readFileSync(join(folder, 'webhook-secret'), 'utf8').trim();
  const port = await freePort();
  const { publicKey, privateKey } = webPush.generateVAPIDKeys();
  const settings = { PORT: String(port), WEBHOOK_SECRET: secret, VAPID_PUBLIC: publicKey, VAPID_PRIVATE: privateKey };
  const env = { ...process.env, ...settings, NODE_EXTRA_CA_CERTS: authority, NODE_NO_WARNINGS: '1' };
  const run = new Run(process.execPath, ['server.mjs'], { cwd: folder, env });
  const app = {
    port,
    /** The flags of the text, for this app. */
    flags() {
      const [, flags] = commands.match(/^peerbroker (.*)$/m);
      const ours = flags.replace('localhost:8000', `127.0.0.1:${port}`).replace('webhook-secret', join(folder, 'webhook-secret'));
      return ours.split(' ');
    },
    /** The page of the listing, which also answers calls. */
    serve(broker) {
      writeFileSync(join(folder, 'public/index.html'), `<!doctype html>
        <title>nobody calls</title>
        <link rel="icon" href="data:,">
        <button id="button">Ring me</button>
        <video autoplay></video>
        <script src="${urlOf(broker, '/peerjs.js')}"></script>
        <script>
          ${page.replace('VAPID_PUBLIC', publicKey)}
          peer.on('call', async (call) => {
            document.title = call.peer + ' calls';
            call.on('stream', (stream) => { document.querySelector('video').srcObject = stream; });
            call.answer(await navigator.mediaDevices.getUserMedia({ audio: true, video: true }));
          });
        </script>`);
    },
    get errors() {
      return run.errors;
    },
    async stop() {
      run.kill();
      await run.end();
    },
  };
  try {
    await listens(port);
  } catch (error) {
    await app.stop();
    throw new Error(`the app said: ${run.errors.join('\n')}`, { cause: error });
  }
  return app;
}

const withPermissions = { ...desktop, permissions: ['notifications', 'camera', 'microphone'] };

visit('a call to a phone whose page is closed rings it by Web Push, and the page that it opens takes the call', async (visit) => {
  const service = await visit.keep('proxies', startPushService());
  const app = await visit.keep('proxies', startApp(service.authority));
  // Without a STUN server of its own, PeerJS would ask public ones.
  const broker = await visit.server([...app.flags(), '--allow_discovery', '--stun_url', 'stun:127.0.0.1:9']);
  app.serve(broker);

  // A page that stays: DevTools reach the worker through it while all pages of the app are closed.
  const blank = await visit.page(withPermissions, { browser: 'whole chromium' });
  const context = blank.context();
  await context.exposeFunction('subscribeAtService', (key) => service.subscribe(key));
  await context.addInitScript(() => {
    PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
      const subscription = await window['subscribeAtService'](applicationServerKey);
      return /** @type {any} */ ({ toJSON: () => subscription });
    };
  });
  const phone = await context.newPage();
  const sent = phone.waitForRequest('**/subscribe');
  const answered = phone.waitForResponse('**/subscribe');
  await phone.goto(urlOf(app, '/'));
  const id = await phone.evaluate(() => localStorage.id);
  await until('the page to have its id', async () => (await present(broker)).includes(id));
  await phone.getByRole('button').click();
  const { subscription } = (await within('the subscription', sent)).postDataJSON();
  assert.equal((await within('its answer', answered)).status(), 204);
  await until('DevTools to reach the worker', () => context.serviceWorkers().length > 0);
  const [pushWorker] = context.serviceWorkers();
  await phone.close();
  await until('the id to be free', async () => !(await present(broker)).includes(id));

  const caller = await visit.client(await visit.site());
  await caller.open(broker, 'anna');
  await caller.call(id);
  const push = await service.next();
  assert.deepEqual([push.endpoint, push.text, push.urgency], [subscription.endpoint, 'anna', 'high']);
  assert.ok(push.seconds > 0 && push.seconds <= 60, String(push.seconds));

  await deliver(blank, urlOf(app, ''), push.text);
  const titles = () => pushWorker.evaluate(() => /** @type {any} */ (self).registration.getNotifications().then((shown) => shown.map(({ title }) => title)));
  await until('the notification', async () => (await titles()).length > 0);
  assert.deepEqual(await titles(), ['anna calls']);
  const opened = await within('a click on it', pushWorker.evaluate(click));
  await until('the notification to be gone', async () => (await titles()).length === 0);

  const again = await context.newPage();
  await again.goto(new URL(opened, urlOf(app, '/')).href);
  await until('the call', async () => await again.title() === 'anna calls');
  await caller.must('moving picture');
  await until('the picture of the caller', () => again.evaluate(() => document.querySelector('video').currentTime > 0));
  assert.equal(service.waiting, 0);
  assert.deepEqual(app.errors, []);
});

const present = async (broker) => (await fetch(urlOf(broker, '/peerjs/peers'))).json();

/** Gives the worker of a site a push, as the browser does once it has decrypted it. */
async function deliver(page, origin, data) {
  const session = await page.context().newCDPSession(page);
  const registered = new Promise((found) => {
    session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      const registration = registrations.find(({ scopeURL }) => scopeURL.startsWith(origin));
      if (registration) found(registration);
    });
  });
  await session.send('ServiceWorker.enable');
  const { registrationId } = await within('the registration of the worker', registered);
  await session.send('ServiceWorker.deliverPushMessage', { origin, registrationId, data });
}

/** Clicks the only notification, in its worker. Resolves with the page that the worker opens. */
async function click() {
  const scope = /** @type {any} */ (self);
  const [notification] = await scope.registration.getNotifications();
  return new Promise((opened, failed) => {
    scope.clients.openWindow = async (url) => opened(url);
    const event = new scope.NotificationEvent('notificationclick', { notification });
    event.waitUntil = (work) => work.catch(failed);
    scope.dispatchEvent(event);
  });
}
