// The audit explorer: filters in the address, proofs checked by the page itself, and a log that somebody changed.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { start } from './system.mjs';

let system, mission;
before(async () => {
  system = await start();
  mission = await system.api('POST', '/v1/engine/missions', { goal: 'leaves a trace', tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] });
  await system.until(mission.id, 'succeeded');
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

test('an entry is found by its filter, opened by its address, and proved', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/audit');
  await page.getByText('no independent witness').waitFor();
  await page.getByLabel('Action').fill('task.settled');
  await page.waitForURL(/action=task\.settled/);
  const settled = page.getByRole('button', { name: /task\.settled/ });
  await page.locator('.entry:not(:has-text("task.settled"))').first().waitFor({ state: 'detached' });
  await settled.first().click();
  await page.waitForURL(/entry=\d+/);
  await page.getByText('The proof holds').waitFor();
  // A fresh load of the address, without the filter, opens the same entry, however old it is.
  await page.goto(`${system.origin}/organism/audit?entry=3`);
  await page.getByRole('region', { name: 'Entry 3' }).getByText('The proof holds').waitFor();
  await page.getByText(/same head|Only grew/).waitFor();
  await page.keyboard.press('j');
  await page.waitForURL((url) => url.searchParams.get('entry') !== '3');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a coordinator that shows another entry, path or log than it signed is found out by the page', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/audit');
  await page.getByText('no independent witness').waitFor();
  const forge = (change) => page.route(/audit\/proof\?seq=/, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: change(await answer.json()) });
  }, { times: 1 });
  const opened = async (seq) => {
    await page.evaluate((to) => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }, `/organism/audit?entry=${seq}`);
    await page.getByRole('region', { name: `Proof of entry ${seq}` }).getByText('The proof does not hold').waitFor();
  };
  await forge((proof) => ({ ...proof, digest: 'ab'.repeat(32) }));
  await opened(2);
  await forge((proof) => ({ ...proof, proof: proof.proof.toReversed() }));
  await opened(3);
  await forge((proof) => ({ ...proof, note: proof.note.replace(/\n\d+\n/, '\n1\n') }));
  await opened(4);
  // A head of the same key that is not what this browser saw: a log written anew.
  await page.evaluate(() => {
    const seen = JSON.parse(localStorage.getItem('nexusmon.head'));
    localStorage.setItem('nexusmon.head', JSON.stringify({ ...seen, size: 3, root: 'cd'.repeat(32) }));
  });
  await page.goto(`${system.origin}/organism/audit`);
  await page.getByText('entries before that were changed').waitFor();
  await page.evaluate(() => {
    const seen = JSON.parse(localStorage.getItem('nexusmon.head'));
    localStorage.setItem('nexusmon.head', JSON.stringify({ ...seen, size: 1_000_000 }));
  });
  await page.goto(`${system.origin}/organism/audit`);
  await page.getByText('it was cut').waitFor();
  await context.close();
});

test('the log and its head are taken along', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/audit');
  const take = async (role, name) => (await Promise.all([page.waitForEvent('download'), page.getByRole(role, { name }).click()]))[0];
  const log = await take('link', 'Export the log');
  assert.equal(log.suggestedFilename(), 'nexusmon-audit.ndjson');
  assert.match(await readFile(await log.path(), 'utf8'), new RegExp(mission.id));
  const head = await take('button', 'Keep this head');
  const command = await page.getByText('nexusmon audit verify').innerText();
  const [, key] = /--key '([^']+)'/.exec(command);
  assert.equal((await readFile(await head.path(), 'utf8')).split('\n')[0], key.split('+')[0]);
  assert.deepEqual(errors, []);
  await context.close();
});
