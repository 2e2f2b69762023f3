// The system the pages are tested against: Debian's Chromium, a real coordinator, a real agent.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer, request } from 'node:http';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const root = path.resolve(import.meta.dirname, '../..');
const dist = path.join(root, 'web/dist');
/** A program as it was built last. */
export const built = (name) => path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), process.env.PROFILE ?? 'debug', name);
const binary = built('nexusmon');
export const pictures = path.join(root, 'test-results/pages');
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** Text that tries to be more than text. */
export const hostile = '<img src=x onerror="document.title=\'owned\'"> \u202Egnp.exe \u001b[31m';

/** A port below those the kernel gives out by itself: nobody else takes it while the coordinator starts anew. */
let turn = process.pid * 97;
async function port() {
  const candidate = 10_000 + (turn++ % 22_000);
  const probe = createServer();
  const free = await new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(candidate, '127.0.0.1', () => resolve(true));
  });
  if (!free) return port();
  await new Promise((resolve) => probe.close(resolve));
  return candidate;
}

export async function start({ env: more = {}, text = false } = {}) {
  await mkdir(pictures, { recursive: true });
  const home = await mkdtemp(path.join(tmpdir(), 'nexusmon-page-'));
  const place = (http, grpc) => ['--data-dir', path.join(home, 'data'), '--http', http, '--grpc', grpc];
  const env = { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: path.join(home, 'config'), RUST_LOG: 'warn', ...more };
  let up;
  /** As programs start it, or as people do: then what it says to them is read. */
  function raise(args) {
    up = spawn(binary, ['up', ...(text ? [] : ['--json']), ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    return new Promise((resolve, reject) => {
      const said = {};
      createInterface({ input: up.stdout }).on('line', (line) => {
        if (line.startsWith('{')) resolve(JSON.parse(line));
        said.operator_key ??= /operator key {2}(\S+)/.exec(line)?.[1];
        said.http ??= /API +(http\S+)\/v1 /.exec(line)?.[1];
        said.grpc ??= /agents +(\S+)/.exec(line)?.[1];
        said.link ??= /log in +(\S+#login=\S+)/.exec(line)?.[1];
        if (text && said.link) resolve(said);
      });
      up.once('error', reject);
      up.once('exit', (code) => reject(new Error(`nexusmon up ended with ${code}`)));
    });
  }
  async function fall() {
    if (up.exitCode !== null) return;
    const ended = new Promise((resolve) => up.once('exit', resolve));
    up.kill('SIGTERM');
    await ended;
  }
  const ready = await raise(place(`127.0.0.1:${await port()}`, `127.0.0.1:${await port()}`));
  const ask = (method, route, body, token) => fetch(ready.http + route, {
    method,
    headers: { ...(token && { authorization: `Bearer ${token}` }), 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: body && JSON.stringify(body),
  });
  async function read(answer, what) {
    const text = await answer.text();
    assert.ok(answer.ok, `${what}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }
  const enter = async () => (await read(await ask('POST', '/v1/auth/login', { operator_key: ready.operator_key }), 'log in')).access_token;
  let token = await enter();
  async function api(method, route, body) {
    let answer = await ask(method, route, body, token);
    // A token ends after ten minutes; a run may take longer.
    if (answer.status === 401) answer = await ask(method, route, body, (token = await enter()));
    return read(answer, `${method} ${route}`);
  }
  const front = await served(ready.http);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });

  /** The command line, as the owner whose key lies in another home. */
  async function command(...args) {
    const mine = path.join(home, 'owner');
    const env = { PATH: process.env.PATH, HOME: mine, OPERATOR_KEY: ready.operator_key, NEXUSMON_URL: ready.http, NEXUSMON_KEY_PASSPHRASE: 'a passphrase of the tests' };
    const child = spawn(binary, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const code = await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
    assert.equal(code, 0, `nexusmon ${args.join(' ')}`);
  }

  return {
    api,
    command,
    home,
    ready,
    origin: front.origin,
    browser,
    /** Waits until a mission is in one of these states. */
    async until(id, ...states) {
      for (;;) {
        const mission = await api('GET', `/v1/engine/missions/${id}`);
        if (states.includes(mission.status)) return mission;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    /** Ends the coordinator and its agent, does something while they are gone, and starts them again at the same place. */
    async restart(meanwhile = async () => {}) {
      await fall();
      await meanwhile();
      await raise(place(new URL(ready.http).host, ready.grpc));
    },
    async end() {
      await browser.close();
      await front.close();
      await fall();
      await rm(home, { recursive: true, force: true });
    },
    /** A page that is logged in, and what its console complained about. */
    async open(context, route, { login = true } = {}) {
      const page = await context.newPage();
      const errors = [];
      page.on('console', (message) => message.type() === 'error' && errors.push(`${message.text()} ${message.location().url}`));
      page.on('pageerror', (error) => errors.push(String(error)));
      await page.goto(front.origin + route);
      if (login && (await page.getByLabel('Operator key').isVisible().catch(() => false))) await logIn(page, ready.operator_key);
      return { page, errors };
    },
  };
}

/** Gives the page's browser an authenticator: a device that knows whose finger it is, or, `verified: false`, does not. */
export async function authenticator(page, { verified = true } = {}) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: verified, automaticPresenceSimulation: true },
  });
  return {
    verify: (isUserVerified) => devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified }),
    credentials: async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials,
  };
}

/** By how much the page, or what it shows, is wider than its window. */
export const sideways = (page) => page.evaluate(() => Math.max(...[document.documentElement, document.querySelector('main')].map((each) => (each ? each.scrollWidth - each.clientWidth : 0))));

/** Waits until nothing on the page is a place of what is still being fetched. */
export const settled = (page) => page.waitForFunction(() => document.querySelector('.loading') === null && document.fonts.status === 'loaded');

/** A picture of what is there, which no rule of accessibility finds fault with and which fits its window. */
export async function seen(page, name) {
  await settled(page);
  await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  const wide = await sideways(page);
  assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
  const { violations } = await new AxeBuilder({ page }).analyze();
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`), [], name);
}

/** The same in both themes and sizes; afterwards the page is as wide as before. */
export async function seenEverywhere(page, name, there) {
  const before = page.viewportSize();
  for (const [size, viewport] of [['desk', { width: 1440, height: 900 }], ['phone', { width: 390, height: 844 }]]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.locator(there).first().waitFor();
      await seen(page, `${name}-${size}-${colorScheme}`);
    }
  }
  await page.setViewportSize(before);
}

export async function logIn(page, key) {
  await page.getByLabel('Operator key').fill(key);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('main').waitFor();
  await page.locator('[data-state=live]').waitFor();
}

/**
 * Where the pages come from: the coordinator, if what it holds is what was built last; else, so that one need not
 * compile Rust to see a change of the pages, the built files with the coordinator's own headers and API behind them.
 */
async function served(http) {
  const embedded = await fetch(`${http}/organism`, { redirect: 'follow' }).then((answer) => answer);
  const policy = embedded.headers.get('content-security-policy');
  const newest = await readFile(path.join(dist, 'organism.html'), 'utf8');
  // A page belongs to a name; addresses redirect there.
  if ((await embedded.text()) === newest) return { origin: http.replace('127.0.0.1', 'localhost'), close: () => {} };
  console.log('# the coordinator holds other pages: serving web/dist in front of it');
  const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', woff2: 'font/woff2', jpg: 'image/jpeg', png: 'image/png', webmanifest: 'application/manifest+json' };
  const files = createServer(async (asked, answer) => {
    const { pathname } = new URL(asked.url, 'http://localhost');
    if (pathname.startsWith('/v1/')) {
      const passed = request(http + asked.url, { method: asked.method, headers: asked.headers }, (from) => {
        answer.writeHead(from.statusCode, from.headers);
        from.pipe(answer);
      });
      passed.on('error', () => answer.destroy());
      answer.on('close', () => passed.destroy());
      asked.pipe(passed);
      return;
    }
    const name = pathname.startsWith('/organism') ? 'organism.html' : pathname === '/landing' ? 'landing.html' : pathname === '/docs' ? 'docs.html' : pathname.slice(1);
    const bytes = await readFile(path.join(dist, path.normalize(`/${name}`))).catch(() => null);
    answer.writeHead(bytes ? 200 : 404, { 'content-type': types[name.split('.').pop()] ?? 'application/octet-stream', 'content-security-policy': policy.includes('worker-src') ? policy : policy.replace('connect-src', "worker-src 'self'; connect-src") });
    answer.end(bytes ?? '');
  });
  await new Promise((resolve) => files.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${files.address().port}`,
    close: () => {
      files.closeAllConnections();
      files.close();
    },
  };
}
