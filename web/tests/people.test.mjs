// Who people are: passkeys made, used to log in, to prove anew who sits there, and to sign.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { authenticator, logIn, seen, start } from './system.mjs';

const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const THEMES = ['dark', 'light'];
const desk = { viewport: SIZES.desk, colorScheme: 'dark', reducedMotion: 'reduce' };

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());

const grave = (goal) => system.api('POST', '/v1/engine/missions', { goal, tasks: [{ id: 'who', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });

/** Makes a passkey in the settings. */
async function make(page, name) {
  await page.goto(`${system.origin}/organism/settings`);
  await page.getByLabel(/Name of a new one/).fill(name);
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.getByRole('region', { name: 'Passkeys' }).getByText(name, { exact: true }).waitFor();
}

test('a passkey is made, logs in, and is removed', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/settings');
  const device = await authenticator(page);
  await make(page, 'this laptop');
  assert.equal((await device.credentials()).length, 1);
  await page.getByRole('main').getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByRole('region', { name: 'Passkeys' }).getByText(/last used/).waitFor();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByText('None yet.', { exact: false }).waitFor();
  await page.getByRole('main').getByRole('button', { name: 'Log out' }).click();
  assert.deepEqual(errors, []);
  // The device still offers it; the coordinator knows it no more.
  await page.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByRole('alert').getByText(/not known here/).waitFor();
  await context.close();
});

test('an authenticator that does not check who touches it makes nothing', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/settings');
  await authenticator(page, { verified: false });
  await page.getByLabel(/Name of a new one/).fill('a borrowed one');
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.getByRole('alert').getByText(/No passkey was used/).waitFor();
  await context.close();
});

test('what needs a fresh log-in asks for one and goes on', async () => {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of THEMES) {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism/settings');
      await authenticator(page);
      await make(page, `${size} ${colorScheme}`);
      // As after five minutes: the first call is refused, once.
      let stale = true;
      await page.route('**/v1/auth/passkeys/*', (route) => {
        if (!stale || route.request().method() !== 'DELETE') return route.fallback();
        stale = false;
        return route.fulfill({ status: 403, contentType: 'application/problem+json', body: JSON.stringify({ status: 403, code: 'log_in_again', detail: 'log in again' }) });
      });
      await page.getByRole('button', { name: 'Remove' }).first().click();
      await page.getByRole('dialog', { name: 'Prove that it is you' }).waitFor();
      await seen(page, `prove-${size}-${colorScheme}`);
      const [login] = await Promise.all([page.waitForResponse('**/v1/auth/login'), page.getByRole('button', { name: 'Use a passkey' }).click()]);
      assert.equal(login.status(), 200);
      await page.getByText('It logs nobody in any more').waitFor();
      assert.deepEqual(errors.filter((text) => !text.includes('403')), []);
      await context.close();
    }
  }
});

test('the ways in, in words', async () => {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of THEMES) {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism', { login: false });
      await page.getByRole('button', { name: 'Use a passkey' }).waitFor();
      await seen(page, `login-${size}-${colorScheme}`);
      await page.getByRole('button', { name: 'Use a name and password' }).click();
      await page.getByLabel('Name').fill('nobody');
      await page.getByLabel('Password').fill('not the password');
      await page.getByRole('button', { name: 'Log in', exact: true }).click();
      await page.getByRole('alert').waitFor();
      await seen(page, `login-name-${size}-${colorScheme}`);
      assert.deepEqual(errors.filter((text) => !text.includes('401')), []);
      await context.close();
    }
  }
});

test('a person logs in with name and password', async () => {
  const { secret } = await system.api('POST', '/v1/governance/principals', { name: 'kim', role: 'viewer' });
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/settings', { login: false });
  await page.getByRole('button', { name: 'Use a name and password' }).click();
  await page.getByLabel('Name').fill('kim');
  await page.getByLabel('Password').fill(secret);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('region', { name: 'Session' }).getByText('viewer').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

// Last, since from here on there is a roster.
test('a passkey of the roster signs grave work, and the machine that runs it agrees', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/settings');
  await authenticator(page);
  await make(page, 'my key');
  await system.command('key', 'make');
  const { items } = await system.api('GET', '/v1/auth/passkeys');
  const me = await system.api('GET', '/v1/auth/me');
  const mine = items.find((each) => each.name === 'my key');
  await system.command('roster', 'add', me.id, '--passkey', mine.key);
  await page.reload();
  await page.getByText('In the roster', { exact: false }).waitFor();
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.goto(`${system.origin}/organism/settings`);
      await page.getByText('In the roster', { exact: false }).waitFor();
      await seen(page, `settings-passkey-${size}-${colorScheme}`);
      const mission = await grave(`signed on a ${size}, ${colorScheme}`);
      await page.goto(`${system.origin}/organism/approve/${mission.approval.id}`);
      const button = page.getByRole('button', { name: /Hold 2 s to sign/ });
      await button.waitFor();
      await seen(page, `approve-passkey-${size}-${colorScheme}`);
      await page.getByLabel(/Reason/).fill('read it, fine');
      await button.press('Enter');
      await page.getByRole('button', { name: 'Press Enter to approve' }).press('Enter');
      const done = await system.until(mission.id, 'succeeded', 'failed');
      assert.equal(done.status, 'succeeded');
      const approval = await system.api('GET', `/v1/governance/approvals/${mission.approval.id}`);
      assert.deepEqual(approval.decisions.map(({ verdict, method }) => [verdict, method]), [['approve', 'passkey']]);
    }
  }
  // What the page signs is checked: over another digest it is no signature.
  const other = await grave('signed for something else');
  await page.route('**/decisions', async (route) => {
    const body = route.request().postDataJSON();
    const flipped = body.signature.nonce.startsWith('A') ? 'B' : 'A';
    return route.continue({ postData: JSON.stringify({ ...body, signature: { ...body.signature, nonce: flipped + body.signature.nonce.slice(1) } }) });
  });
  await page.goto(`${system.origin}/organism/approve/${other.approval.id}`);
  await page.getByLabel(/Reason/).fill('read it, fine');
  await page.getByRole('button', { name: /Hold 2 s to sign/ }).press('Enter');
  await page.getByRole('button', { name: 'Press Enter to approve' }).press('Enter');
  await page.getByRole('alert').getByText(/another challenge/).waitFor();
  assert.deepEqual(errors.filter((text) => !text.includes('400')), []);
  await context.close();
});

test('an operator key still opens', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism', { login: false });
  await logIn(page, system.ready.operator_key);
  await context.close();
});
