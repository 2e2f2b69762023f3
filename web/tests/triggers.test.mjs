// What an operator does with schedules and webhooks: seen before they are kept, kept, paused, called, taken away.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

test('a schedule shows its runs before it is kept, runs, is paused and goes', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await page.getByText('Nothing starts by the clock').waitFor();
  const form = page.getByRole('region', { name: 'Keep a schedule' });
  await form.getByLabel('Name').fill('often');
  await form.getByLabel('Cron').fill('61 * * * *');
  await form.getByText('write minute, hour').waitFor();
  assert.ok(await form.getByRole('button', { name: 'Keep it' }).isDisabled(), 'not while it makes no sense');
  assert.ok(errors.splice(0).every((text) => text.includes('400')));
  await form.getByLabel('Cron').fill('* * * * *');
  await form.getByLabel('Time zone').fill('Asia/Tokyo');
  await form.getByRole('list', { name: 'It would run' }).getByText('+09:00').first().waitFor();
  assert.equal(await form.getByRole('list', { name: 'It would run' }).getByRole('listitem').count(), 10);
  await form.getByRole('button', { name: 'A mission' }).click();
  await form.getByLabel('Mission').fill('{');
  await form.getByRole('button', { name: 'Keep it' }).click();
  await form.getByRole('alert').filter({ hasText: 'not JSON' }).waitFor();
  await form.getByLabel('Mission').fill(JSON.stringify({ goal: 'tick', tasks: [{ id: 'a', uses: 'core.noop' }] }));
  await form.getByRole('button', { name: 'Keep it' }).click();
  const full = page.getByRole('region', { name: 'often in full' });
  await full.getByRole('list', { name: 'Next runs' }).waitFor();
  // Within a minute it is due, and the page hears of it.
  await full.getByRole('list', { name: 'History' }).getByText('fired').first().waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: 'Pause' }).click();
  await full.getByText('None while it is paused').waitFor();
  await page.getByRole('button', { name: 'Change often' }).click();
  const change = page.getByRole('region', { name: 'Change a schedule' });
  assert.equal(await change.getByLabel('Time zone').inputValue(), 'Asia/Tokyo');
  await change.getByLabel('Cron').fill('0 4 * * *');
  await change.getByRole('list', { name: 'It would run' }).waitFor();
  await change.getByRole('button', { name: 'Change it' }).click();
  await full.getByText('0 4 * * *').waitFor();
  await full.getByRole('button', { name: 'Remove' }).click();
  await page.getByText('Nothing starts by the clock').waitFor();
  assert.deepEqual((await system.api('GET', '/v1/engine/schedules')).items, []);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a webhook shows its key once, and its signed calls make missions once', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/schedules/webhooks');
  const form = page.getByRole('region', { name: 'Keep a webhook' });
  await form.getByLabel('Name').fill('push');
  await form.getByRole('button', { name: 'A mission' }).click();
  await form.getByLabel('Mission').fill(JSON.stringify({ goal: 'pushed', tasks: [{ id: 'a', uses: 'core.noop' }] }));
  await form.getByRole('button', { name: 'Keep it' }).click();
  const key = page.getByRole('region', { name: 'The key of push' });
  const secret = (await key.locator('.secret code').textContent()).trim();
  const { path } = (await system.api('GET', '/v1/engine/webhooks')).items[0];
  const call = (body, with_) => fetch(system.origin + path, { method: 'POST', body, headers: { 'content-type': 'application/json', 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${createHmac('sha256', with_).update(body).digest('hex')}` } });
  assert.equal((await call('{"n": 1}', 'another')).status, 401);
  const first = await call('{"n": 1}', secret);
  assert.deepEqual([first.status, await first.json()], [202, { result: 'fired' }]);
  assert.deepEqual(await (await call('{"n": 1}', secret)).json(), { result: 'already' });
  await key.getByRole('button', { name: 'I have kept it' }).click();
  await page.getByRole('button', { name: /^push/ }).click();
  const full = page.getByRole('region', { name: 'push in full' });
  await full.getByRole('list', { name: 'History' }).getByText('fired').waitFor();
  await full.getByRole('button', { name: 'Another key' }).click();
  const other = (await page.getByRole('region', { name: 'The key of push' }).locator('.secret code').textContent()).trim();
  assert.notEqual(other, secret);
  assert.equal((await call('{"n": 2}', secret)).status, 401);
  assert.equal((await call('{"n": 2}', other)).status, 202);
  await full.getByRole('button', { name: 'Remove' }).click();
  await page.getByText('Nothing starts by a call from outside').waitFor();
  assert.equal((await call('{"n": 3}', other)).status, 401);
  assert.deepEqual(errors, []);
  await context.close();
});
