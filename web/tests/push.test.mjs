// The console as an app: installed, opened without a line, and told of approvals while it is closed. The push service is
// one of our own, which reads messages as a browser would (RFC 8291).
import assert from 'node:assert/strict';
import { createDecipheriv, createECDH, hkdfSync } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { seen, start } from './system.mjs';

let system, service;
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };

/** A push service for one browser: its keys, and a promise of the next message. */
async function pushService() {
  const own = createECDH('prime256v1');
  own.generateKeys();
  const auth = Buffer.alloc(16, 7);
  const got = [];
  const waiting = [];
  const server = createServer(async (asked, answer) => {
    const pieces = [];
    for await (const piece of asked) pieces.push(piece);
    const body = Buffer.concat(pieces);
    answer.writeHead(201).end();
    const message = { headers: asked.headers, text: read(body) };
    const next = waiting.shift();
    if (next) next(message);
    else got.push(message);
  });
  function read(body) {
    const [salt, sender, sealed] = [body.subarray(0, 16), body.subarray(21, 86), body.subarray(86)];
    const derive = (key, by, info, length) => Buffer.from(hkdfSync('sha256', key, by, info, length));
    const input = derive(own.computeSecret(sender), auth, Buffer.concat([Buffer.from('WebPush: info\0'), own.getPublicKey(), sender]), 32);
    const cipher = createDecipheriv('aes-128-gcm', derive(input, salt, 'Content-Encoding: aes128gcm\0', 16), derive(input, salt, 'Content-Encoding: nonce\0', 12));
    cipher.setAuthTag(sealed.subarray(-16));
    const plain = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
    return plain.subarray(0, -1).toString();
  }
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    subscription: { endpoint: `http://127.0.0.1:${server.address().port}/push/of-this-browser`, keys: { p256dh: own.getPublicKey('base64url'), auth: auth.toString('base64url') } },
    next: () => (got.length > 0 ? Promise.resolve(got.shift()) : new Promise((resolve) => waiting.push(resolve))),
    close: () => server.close(),
  };
}

before(async () => {
  service = await pushService();
  system = await start({ env: { NEXUSMON_PUSH_CONTACT: 'mailto:ops@nexus.example', NEXUSMON_PUSH_INSIDE: '127.0.0.1' } });
});
after(async () => {
  await system?.end();
  service?.close();
});
const grave = () => system.api('POST', '/v1/engine/missions', { goal: 'a goal nobody outside reads', tasks: [{ id: 'who', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });
/** The worker of the page, once it keeps the shell. */
const ready = (page) => page.evaluate(async () => {
  const found = await navigator.serviceWorker.ready;
  if (found.active.state !== 'activated') await new Promise((resolve) => found.active.addEventListener('statechange', resolve, { once: true }));
  return found.scope;
});

test('a browser is told of an approval: id and rank, sealed for it', async () => {
  const context = await system.browser.newContext(desk);
  await context.grantPermissions(['notifications']);
  // Headless browsers have no push service: here is ours.
  await context.addInitScript((made) => {
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
      window.asked = { userVisibleOnly, key: applicationServerKey.length };
      return { toJSON: () => made, unsubscribe: async () => true };
    };
    Notification.requestPermission = async () => 'granted';
  }, service.subscription);
  const { page, errors } = await system.open(context, '/organism/settings');
  await ready(page);
  const messages = page.getByRole('region', { name: 'Messages' });
  await messages.getByLabel('Name of this browser').fill('the desk');
  await messages.getByRole('button', { name: 'Tell this browser' }).click();
  await messages.getByText('the desk').waitFor();
  assert.deepEqual(await page.evaluate(() => window.asked), { userVisibleOnly: true, key: 65 });
  await messages.getByText('not told of anything yet').waitFor();
  const mission = await grave();
  const { headers, text } = await service.next();
  assert.deepEqual(JSON.parse(text), { id: mission.approval.id, rank: mission.rank });
  assert.match(headers.authorization, /^vapid t=\S+, k=\S+$/);
  assert.equal(headers['content-encoding'], 'aes128gcm');
  await messages.getByRole('button', { name: 'Try it' }).click();
  assert.match((await service.next()).text, /^\{"id":"psh_\w+","rank":null\}$/);
  await page.getByText('Sent: it should appear in a moment').waitFor();
  await seen(page, 'messages-dark-1440');
  const small = await system.browser.newContext(phone);
  const { page: hand } = await system.open(small, '/organism/settings');
  await hand.getByRole('region', { name: 'Messages' }).getByText('the desk').waitFor();
  await hand.getByRole('region', { name: 'Messages' }).scrollIntoViewIfNeeded();
  await seen(hand, 'messages-light-390');
  await small.close();
  await messages.getByRole('button', { name: 'Remove' }).click();
  await messages.getByText('the desk').waitFor({ state: 'detached' });
  assert.deepEqual(errors, []);
  await context.close();
});

test('a message that arrives is shown without a word of what it is about, and leads there', async () => {
  const context = await system.browser.newContext(desk);
  await context.grantPermissions(['notifications']);
  const { page, errors } = await system.open(context, '/organism/settings');
  await ready(page);
  const devtools = await context.newCDPSession(page);
  const registration = await new Promise((resolve) => {
    devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => registrations[0] && resolve(registrations[0].registrationId));
    void devtools.send('ServiceWorker.enable');
  });
  const deliver = (data) => devtools.send('ServiceWorker.deliverPushMessage', { origin: system.origin, registrationId: registration, data });
  const shown = () => page.evaluate(async () => {
    const found = await navigator.serviceWorker.ready;
    return (await found.getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, data }));
  });
  /** Delivered until shown: a message that finds its worker about to stop is dropped by the browser. */
  const delivered = async (message, count) => {
    for (let tries = 0; tries < 200; tries++) {
      if (tries % 40 === 0) await deliver(JSON.stringify(message));
      const now = await shown();
      if (now.length >= count) return now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail(`${count} notifications expected, ${JSON.stringify(await shown())} shown`);
  };
  const id = `apr_${'0'.repeat(26)}`;
  const [first] = await delivered({ id, rank: 'A' }, 1);
  assert.deepEqual(first, { title: 'An approval of rank A waits', body: 'Open the console to see what it is about.', tag: id, data: `/organism/approve/${id}` });
  // Twice the same is one; what is no id of ours is not repeated and leads home.
  await deliver(JSON.stringify({ id, rank: 'A' }));
  const two = await delivered({ id: 'https://elsewhere.example/<b>', rank: '<i>' }, 2);
  assert.deepEqual(two.map(({ title, data }) => [title, data]).sort(), [['An approval of rank A waits', `/organism/approve/${id}`], ['Something needs you', '/organism']]);
  assert.deepEqual(errors, []);
  await context.close();
});

test('it can be installed, and opens without a line', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  assert.match(await ready(page), /\/organism$/);
  const devtools = await context.newCDPSession(page);
  const manifest = await devtools.send('Page.getAppManifest');
  assert.deepEqual(manifest.errors, []);
  assert.equal(JSON.parse(manifest.data).start_url, '/organism');
  const icons = [...JSON.parse(manifest.data).icons, { src: await page.locator('link[rel=apple-touch-icon]').getAttribute('href'), type: 'image/png', sizes: '180x180' }];
  for (const { src, type, sizes } of icons) {
    const answer = await page.request.get(system.origin + src);
    assert.equal(answer.headers()['content-type'], type, src);
    if (type !== 'image/png') continue;
    // Its own header has the size: eight bytes of signature, then the first chunk.
    const bytes = await answer.body();
    assert.equal(`${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`, sizes, src);
  }
  assert.deepEqual(['any', 'maskable'].filter((purpose) => !icons.some((icon) => icon.purpose === purpose && icon.sizes === '512x512')), []);
  await page.reload();
  await page.locator('[data-state=live]').waitFor();
  assert.equal(await page.evaluate(() => navigator.serviceWorker.controller !== null), true);
  // Nothing of the API is kept.
  const kept = await page.evaluate(async () => (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname)))).flat());
  assert.ok(kept.includes('/organism') && kept.some((name) => name.endsWith('.js')), String(kept));
  assert.deepEqual(kept.filter((name) => name.startsWith('/v1')), []);
  assert.deepEqual(errors, []);
  await context.setOffline(true);
  await page.reload();
  await page.getByRole('heading', { name: 'The coordinator does not answer' }).waitFor();
  await seen(page, 'offline-dark-1440');
  await context.setOffline(false);
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('[data-state=live]').waitFor();
  await context.close();
});
