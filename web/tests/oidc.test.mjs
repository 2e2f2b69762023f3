// Logging in at a real OpenID provider, which runs here on loopback.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Provider } from 'oidc-provider';
import { seen, start } from './system.mjs';

const SECRET = 'a secret of the tests, nowhere else';
const GROUPS = { kim: ['staff', 'nexus-operators'], lee: ['staff', 'nexus-viewers'], sam: ['staff'] };
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

let system, server, issuer;
before(async () => {
  let handle = (_, answer) => answer.writeHead(503).end();
  server = createServer((asked, answer) => handle(asked, answer));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://localhost:${server.address().port}`;
  system = await start({
    env: {
      NEXUSMON_OIDC_ISSUER: issuer,
      NEXUSMON_OIDC_CLIENT_ID: 'nexusmon',
      NEXUSMON_OIDC_CLIENT_SECRET: SECRET,
      NEXUSMON_OIDC_NAME: 'the house',
      NEXUSMON_OIDC_ROLES: 'nexus-operators=operator,nexus-viewers=viewer',
    },
  });
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'nexusmon', client_secret: SECRET, redirect_uris: [`${system.origin}/v1/auth/oidc/callback`], token_endpoint_auth_method: 'client_secret_basic' }],
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }) }),
  });
  handle = provider.callback();
});
after(async () => {
  await system?.end();
  server.closeAllConnections();
  server.close();
});

async function atProvider(page, name) {
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.waitForURL(/\/interaction\/|\/organism/);
}
async function consent(page) {
  await page.getByRole('button', { name: /Continue/i }).click();
}

/** Clicks the button of the log-in page and says who one is at the provider. */
async function logInAs(name, context) {
  const { page, errors } = await system.open(context, '/organism/settings', { login: false });
  await page.getByRole('link', { name: 'Log in with the house' }).click();
  await atProvider(page, name);
  await consent(page);
  await page.waitForURL(`${system.origin}/organism**`);
  return { page, errors };
}

test('somebody of the provider gets the role their groups give', async () => {
  for (const [name, role] of [['kim', 'operator'], ['lee', 'viewer']]) {
    const context = await system.browser.newContext(desk);
    const { page } = await logInAs(name, context);
    await page.locator('[data-state=live]').waitFor();
    await page.goto(`${system.origin}/organism/settings`);
    const session = page.getByRole('region', { name: 'Session' });
    await session.getByText(name, { exact: true }).waitFor();
    await session.getByText(role, { exact: true }).waitFor();
    assert.equal(new URL(page.url()).searchParams.get('login'), null, 'the word is taken out of the address');
    await context.close();
  }
});

test('another role there is another role here, at the next log-in, for the same person', async () => {
  const before = (await system.api('GET', '/v1/governance/principals')).items.find((each) => each.name === 'kim');
  GROUPS.kim = ['nexus-viewers'];
  const context = await system.browser.newContext(desk);
  const { page } = await logInAs('kim', context);
  await page.locator('[data-state=live]').waitFor();
  const people = (await system.api('GET', '/v1/governance/principals')).items.filter((each) => each.name.startsWith('kim'));
  assert.deepEqual(people.map(({ id, role }) => [id, role]), [[before.id, 'viewer']]);
  await context.close();
});

test('without a role nobody gets in, and is told so', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await logInAs('sam', context);
  await page.getByRole('alert').getByText(/gives you no role here/).waitFor();
  assert.equal((await context.cookies(system.origin)).some(({ name }) => name === 'nexusmon_session'), false);
  assert.equal((await system.api('GET', '/v1/governance/principals')).items.some((each) => each.name === 'sam'), false);
  await context.close();
});

test('who is taken out stays out', async () => {
  const lee = (await system.api('GET', '/v1/governance/principals')).items.find((each) => each.name === 'lee');
  await system.api('DELETE', `/v1/governance/principals/${lee.id}`);
  const context = await system.browser.newContext(desk);
  const { page } = await logInAs('lee', context);
  await page.getByRole('alert').getByText(/taken your access away/).waitFor();
  await context.close();
});

test('a code and state of another browser log nobody in', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism', { login: false });
  const asked = page.waitForRequest(/\/v1\/auth\/oidc\/callback/);
  await page.getByRole('link', { name: 'Log in with the house' }).click();
  await atProvider(page, 'kim');
  await consent(page);
  const stolen = (await asked).url();
  const other = await system.browser.newContext(desk);
  const victim = await other.newPage();
  await victim.goto(stolen);
  await victim.getByRole('alert').getByText(/took too long/).waitFor();
  // Begun here, but with what came from there.
  const away = await other.request.get(`${system.origin}/v1/auth/oidc/start`, { maxRedirects: 0 });
  assert.equal(away.status(), 303);
  assert.match(away.headers().location, /code_challenge_method=S256/);
  await victim.goto(stolen);
  await victim.getByRole('alert').getByText(/took too long/).waitFor();
  assert.deepEqual((await other.cookies(system.origin)).filter(({ name }) => name === 'nexusmon_session'), []);
  await context.close();
  await other.close();
});

test('a log-in that the provider remembered is not a fresh one, one made anew is', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await logInAs('kim', context);
  await page.locator('[data-state=live]').waitFor();
  const ask = () => page.evaluate(async () => {
    const answer = await fetch('/v1/auth/passkeys/options', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    return answer.status;
  });
  assert.equal(await ask(), 403, 'the provider did not say when kim proved who they are');
  await page.goto(`${system.origin}/v1/auth/oidc/start?anew=true&to=/organism/settings`);
  await atProvider(page, 'kim');
  await page.waitForURL(`${system.origin}/organism/settings**`);
  await page.getByRole('region', { name: 'Session' }).getByText('kim', { exact: true }).waitFor();
  assert.equal(await ask(), 200);
  await context.close();
});

test('the button, in both themes and sizes', async () => {
  for (const [size, viewport] of Object.entries({ desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } })) {
    for (const colorScheme of ['dark', 'light']) {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism', { login: false });
      await page.getByRole('link', { name: 'Log in with the house' }).waitFor();
      await seen(page, `login-oidc-${size}-${colorScheme}`);
      assert.deepEqual(errors, []);
      await context.close();
    }
  }
});
