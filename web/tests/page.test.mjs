// The page as its user sees it: Debian's Chromium, a real coordinator, a real agent.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const root = path.resolve(import.meta.dirname, '../..');
const binary = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'debug/nexusmon');
const pictures = path.join(root, 'test-results/pages');
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const hostile = '<img src=x onerror="document.title=\'owned\'"> \u202Egnp.exe \u001b[31m';

let home, up, ready, browser, token;

async function api(method, route, body) {
  const answer = await fetch(ready.http + route, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${route}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

before(async () => {
  await mkdir(pictures, { recursive: true });
  home = await mkdtemp(path.join(tmpdir(), 'nexusmon-page-'));
  const args = ['up', '--json', '--data-dir', path.join(home, 'data'), '--http', '127.0.0.1:0', '--grpc', '127.0.0.1:0'];
  const env = { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: path.join(home, 'config') };
  up = spawn(binary, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await new Promise((resolve, reject) => {
    createInterface({ input: up.stdout }).once('line', (text) => resolve([text]));
    up.once('exit', (code) => reject(new Error(`nexusmon up ended with ${code}`)));
  });
  ready = JSON.parse(line);
  const login = await fetch(`${ready.http}/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ operator_key: ready.operator_key }),
  });
  token = (await login.json()).access_token;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
});

after(async () => {
  await browser?.close();
  if (up && up.exitCode === null) {
    const ended = new Promise((resolve) => up.once('exit', resolve));
    up.kill('SIGTERM');
    await ended;
  }
  await rm(home, { recursive: true, force: true });
});

/** A page that fails the test on any error in its console. */
async function open(context, route) {
  const page = await context.newPage();
  const errors = [];
  // Asking who one is, before logging in, is answered 401, which the browser writes down by itself.
  page.on('console', (message) => message.type() === 'error' && !message.text().includes('401') && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  // A page belongs to a name; addresses redirect there.
  await page.goto(ready.http.replace('127.0.0.1', 'localhost') + route);
  return { page, errors };
}

async function logIn(page) {
  await page.getByLabel('Operator key').fill(ready.operator_key);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('button', { name: 'Log out' }).waitFor();
}

for (const [name, viewport, colorScheme] of [
  ['desk-dark', { width: 1440, height: 900 }, 'dark'],
  ['phone-light', { width: 390, height: 844 }, 'light'],
]) {
  test(`log in, watch a mission arrive, read its log (${name})`, async () => {
    const context = await browser.newContext({ viewport, colorScheme });
    const { page, errors } = await open(context, '/organism');
    await logIn(page);
    const goal = `print for ${name} ${hostile}`;
    const mission = await api('POST', '/v1/engine/missions', {
      goal,
      tasks: [{ id: 'say', uses: 'shell.run', with: { script: `echo 'hello from ${name}'` } }],
    });
    const link = page.locator(`a[href="#/missions/${mission.id}"]`);
    await link.first().waitFor();
    await page.screenshot({ path: path.join(pictures, `overview-${name}.png`), fullPage: true });
    await link.first().click();
    await page.getByRole('button', { name: 'Log', exact: true }).click();
    await page.locator('pre.log', { hasText: `hello from ${name}` }).waitFor();
    await page.screenshot({ path: path.join(pictures, `mission-${name}.png`), fullPage: true });
    assert.notEqual(await page.title(), 'owned', 'a goal is text, never markup');
    const shown = await page.locator('#view').innerText();
    assert.doesNotMatch(shown, /[\u202e\u001b]/, 'nothing reorders or hides what is read');
    assert.match(shown, /\ufffdgnp\.exe/, 'it is shown where it stood');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `the page scrolls sideways by ${wide} pixels`);
    assert.deepEqual(errors, []);
    await context.close();
  });
}

test('a rank A mission shows up to be decided', async () => {
  const mission = await api('POST', '/v1/engine/missions', {
    goal: 'needs a person',
    tasks: [{ id: 'a', uses: 'shell.run', sandbox: 'none', with: { script: 'true' } }],
  });
  assert.equal(mission.status, 'awaiting_approval');
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
  const { page, errors } = await open(context, '/organism');
  await logIn(page);
  await page.getByText('needs a person').first().waitFor();
  await page.screenshot({ path: path.join(pictures, 'approval-desk-dark.png'), fullPage: true });
  assert.deepEqual(errors, []);
  await context.close();
});

test('the landing page is public and quiet', async () => {
  const context = await browser.newContext();
  const { page, errors } = await open(context, '/landing');
  await page.getByText('NEXUSMON').first().waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
