// What makes a desk out of it: a link that logs in, filters under a name, one act on many, one's own password, and pages
// that stay open while the coordinator starts anew.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seen, start } from './system.mjs';

let system;
before(async () => {
  system = await start({ text: true });
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };
const mission = (goal, more = {}) => system.api('POST', '/v1/engine/missions', { goal, tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'echo one; echo two' } }], ...more });
const row = (page, { id }) => page.locator('li', { has: page.locator(`a[href="/organism/missions/${id}"]`) });

test('the link that was printed logs in once and leaves nothing behind', async () => {
  const context = await system.browser.newContext(desk);
  const page = await context.newPage();
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  // Pages may be served in front of the coordinator: there the same link works.
  const link = system.origin + new URL(system.ready.link).pathname + new URL(system.ready.link).hash;
  await page.goto(link);
  await page.locator('[data-state=live]').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'it is gone from the address');
  assert.equal(await page.evaluate(() => JSON.stringify([history.state, ...Object.values(localStorage)]).includes('login=')), false);
  assert.deepEqual(errors, []);
  // The first steps are there, and looking at one's own log is not done by the coordinator.
  await page.getByRole('heading', { name: 'First steps' }).waitFor();
  const other = await system.browser.newContext(desk);
  const late = await other.newPage();
  await late.goto(link);
  await late.getByRole('alert').getByText(/opens once/).waitFor();
  assert.equal(new URL(late.url()).hash, '');
  await late.getByLabel('Operator key').waitFor();
  await other.close();
  await context.close();
});

test('the first steps go away when they were taken, and come back when asked for', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/missions');
  const steps = page.getByRole('region', { name: 'First steps' });
  const { id } = await mission('to be looked at');
  await system.until(id, 'succeeded');
  // The link leads to the first mission of the feed, which is read apart from the counts.
  await row(page, { id }).waitFor();
  await steps.getByText('2 of 4 done').waitFor();
  await steps.getByRole('link', { name: /Look at its log/ }).click();
  await page.waitForURL(/tab=log|missions\/mis_/);
  await page.getByText('two', { exact: true }).first().waitFor();
  await page.goto(`${system.origin}/organism/missions`);
  await steps.getByText('3 of 4 done').waitFor();
  await steps.getByRole('button', { name: 'Put away' }).click();
  await page.reload();
  await page.locator('a.row-link').first().waitFor();
  assert.equal(await steps.count(), 0);
  await page.goto(`${system.origin}/organism/settings`);
  await page.getByRole('button', { name: 'Show the first steps again' }).click();
  await page.goto(`${system.origin}/organism/missions`);
  await steps.getByText('2 of 4 done').waitFor();
  await context.close();
});

test('a filter is kept under a name, found again, and forgotten', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions?q=looked&status=succeeded');
  await page.getByRole('button', { name: 'Save this filter' }).click();
  await page.getByLabel('Name of the filter').fill('What I looked at');
  await page.keyboard.press('Enter');
  const kept = page.getByRole('group', { name: 'Saved filters' }).getByRole('button', { name: 'What I looked at', exact: true });
  await kept.waitFor();
  await page.goto(`${system.origin}/organism/missions`);
  await kept.click();
  await page.waitForURL(/status=succeeded/);
  await kept.and(page.locator('[aria-pressed=true]')).waitFor();
  await page.locator('a.row-link').first().waitFor();
  assert.equal(await page.locator('a.row-link').count(), 1);
  await seen(page, 'filters-dark-1440');
  // Another browser of the same person has it, too.
  const small = await system.browser.newContext(phone);
  const { page: hand } = await system.open(small, '/organism/missions');
  await hand.getByRole('button', { name: 'What I looked at', exact: true }).click();
  await hand.waitForURL(/q=looked/);
  await hand.locator('a.row-link').first().waitFor();
  await seen(hand, 'filters-light-390');
  await small.close();
  await page.getByRole('button', { name: 'Forget the filter What I looked at' }).click();
  await page.getByRole('button', { name: 'Save this filter' }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('one act on many: chosen with the pointer, tried, done to those alone', async () => {
  const held = { start: 'manual' };
  const [first, second, moves, stays] = [await mission('bulk one', held), await mission('bulk two', held), await mission('bulk moves', held), await mission('bulk stays', held)];
  const grave = await mission('bulk grave', { rank: 'B' });
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions?q=bulk');
  for (const each of [first, second, moves]) await row(page, each).getByRole('checkbox').check();
  assert.equal(await row(page, grave).getByRole('checkbox').isDisabled(), true, 'grave work is handled one by one');
  const bar = page.getByRole('toolbar', { name: 'Chosen missions' });
  await bar.getByText('3 missions chosen').waitFor();
  await seen(page, 'bulk-chosen-dark-1440');
  await bar.getByRole('button', { name: 'Cancel…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('3 missions will be cancelled').waitFor();
  await seen(page, 'bulk-tried-dark-1440');
  assert.equal((await system.api('GET', `/v1/engine/missions/${first.id}`)).status, 'ready', 'nothing was done yet');
  // While the list is read, one of them goes its own way.
  await system.api('POST', `/v1/engine/missions/${moves.id}/pause`, {});
  await dialog.getByRole('button', { name: 'Cancel 3 missions' }).click();
  await dialog.getByText('2 missions cancelled, 1 left alone.').waitFor();
  await dialog.getByText(/it was ready when you looked and is paused now/).waitFor();
  await seen(page, 'bulk-done-dark-1440');
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await bar.getByText('1 mission chosen').waitFor();
  for (const [each, status] of [[first, 'cancelled'], [second, 'cancelled'], [moves, 'paused'], [stays, 'ready']]) {
    assert.equal((await system.api('GET', `/v1/engine/missions/${each.id}`)).status, status, each.goal);
  }
  assert.deepEqual(errors, []);
  await context.close();
});

test('one act on many by keyboard alone, and on a phone', async () => {
  const [one, two] = [await mission('keyed one', { start: 'manual' }), await mission('keyed two', { start: 'manual' })];
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/missions?q=keyed');
  await row(page, two).waitFor();
  for (const key of ['j', 'x', 'j', 'x']) await page.keyboard.press(key);
  await page.getByText('2 missions chosen').waitFor();
  await page.keyboard.press('b');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  const run = dialog.getByRole('button', { name: 'Run 2 missions' });
  await run.focus();
  await page.keyboard.press('Enter');
  await dialog.getByText('2 missions started.').waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await Promise.all([one, two].map(({ id }) => system.until(id, 'succeeded')));
  await context.close();
  const small = await system.browser.newContext(phone);
  const { page: hand, errors } = await system.open(small, '/organism/missions?q=keyed');
  await row(hand, one).getByRole('checkbox').check();
  await hand.getByRole('button', { name: 'Run again…' }).click();
  await hand.getByRole('dialog').getByText('1 mission will be run again').waitFor();
  await seen(hand, 'bulk-tried-light-390');
  assert.deepEqual(errors, []);
  await small.close();
});

test('somebody changes their own password', async () => {
  const { secret } = await system.api('POST', '/v1/governance/principals', { name: 'robin', role: 'viewer' });
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/settings', { login: false });
  const enter = async (password) => {
    await page.getByRole('button', { name: 'Use a name and password' }).click();
    await page.getByLabel('Name').fill('robin');
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
  };
  await enter(secret);
  const form = page.getByRole('region', { name: 'Password' });
  await form.getByLabel('The one you have').fill('not this one at all');
  await form.getByLabel('A new one').fill('seven green bicycles');
  await form.getByLabel('The new one again').fill('seven green bicycles');
  await form.getByRole('button').click();
  await form.getByText('The password you have is not your password.').waitFor();
  assert.deepEqual(errors.splice(0).filter((text) => !text.includes('400')), []);
  await form.getByLabel('The one you have').fill(secret);
  await form.getByRole('button').click();
  await page.getByText('Your password is changed').waitFor();
  await page.getByRole('button', { name: 'Log out' }).first().click();
  await enter('seven green bicycles');
  await page.locator('[data-state=live]').waitFor();
  // The stream of the session that ended was refused, once.
  assert.deepEqual(errors.filter((text) => !text.includes('401')), []);
  await context.close();
});

test('the whole log is a link to plain text', async () => {
  const { id } = await mission('a log to keep');
  await system.until(id, 'succeeded');
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, `/organism/missions/${id}?tab=log`);
  const link = page.getByRole('link', { name: /Plain text/ }).first();
  await link.waitFor();
  // The report that it succeeded may be there before the last of the log.
  await page.getByText('two').first().waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), 'one\ntwo\n');
  await context.close();
});

test('a coordinator that starts anew under open pages: nothing is lost, nothing told twice', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/missions');
  const { page: second } = await system.open(context, '/organism/missions');
  for (const tab of [page, second]) await tab.locator('[data-state=live]').waitFor();
  // Every change that one tab reads from the stream it tells the others: this one listens as they do, who take nothing
  // that they heard before (when the lead goes over from one tab to the other, both may tell it).
  const { page: witness } = await system.open(context, '/landing', { login: false });
  await witness.evaluate(() => {
    window.told = [];
    new BroadcastChannel('nexusmon.events').addEventListener('message', ({ data }) => data.kind === 'change' && data.change.seq > (window.told.at(-1) ?? 0) && window.told.push(data.change.seq));
  });
  const before = await mission('before it went');
  for (const tab of [page, second]) await row(tab, before).waitFor();
  await system.until(before.id, 'succeeded');
  await system.restart();
  const later = await mission('after it came back');
  for (const tab of [page, second]) {
    await row(tab, later).waitFor({ timeout: 60_000 });
    await tab.locator('[data-state=live]').waitFor({ timeout: 60_000 });
  }
  await system.until(later.id, 'succeeded');
  const { items } = await system.api('GET', `/v1/governance/audit?mission=${later.id}&limit=1`);
  await witness.waitForFunction((seq) => window.told.at(-1) >= seq, items[0].seq, { timeout: 60_000 });
  const told = await witness.evaluate(() => window.told);
  assert.deepEqual(told, told.map((_, at) => told[0] + at), 'in order, none left out');
  for (const tab of [page, second]) assert.equal(await tab.locator(`a[href="/organism/missions/${before.id}"]`).count(), 1);
  await context.close();
});
