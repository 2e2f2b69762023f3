// The timeline of a mission: attempts and pauses on one axis, the same as a table, and what the address opens.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

test('a task that was tried twice shows both, and each leads to its log', async () => {
  const shell = (id, script, more = {}) => ({ id, uses: 'shell.run', with: { script }, ...more });
  const mission = await system.api('POST', '/v1/engine/missions', {
    goal: 'tried twice',
    tasks: [shell('first', 'true'), shell('flaky', 'echo attempt; exit 4', { needs: ['first'], retry: { max: 1, on: ['exit_status'], backoff: '1s' } })],
  });
  await system.until(mission.id, 'failed');
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/missions/${mission.id}`);
  await page.keyboard.press('2');
  await page.waitForURL(/tab=timeline/);
  const flaky = page.getByRole('button', { name: /^flaky, Failed, ran .*2 attempts/ });
  await flaky.waitFor();
  assert.equal(await flaky.locator('.run').count(), 2);
  assert.equal(await flaky.locator('.pause').count(), 1);
  // By keyboard from row to row; the address follows.
  await page.getByRole('button', { name: /^first, Succeeded/ }).focus();
  await page.keyboard.press('ArrowDown');
  await page.waitForURL(/task=tsk_/);
  await flaky.and(page.locator(':focus')).waitFor();
  await flaky.locator('.run').first().click();
  await page.waitForURL(/attempt=1/);
  await page.getByRole('button', { name: 'Table' }).click();
  await page.waitForURL(/as=table/);
  await page.reload();
  const row = page.getByRole('row', { name: /^flaky/ });
  await row.getByRole('button', { name: 'Log of attempt 2' }).click();
  await page.waitForURL(/tab=log/);
  await page.getByRole('region', { name: 'Lines' }).getByText('attempt', { exact: true }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
