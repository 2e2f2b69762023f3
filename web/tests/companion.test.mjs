// The companion: a question is typed, the answer links to what it names, and a draft is looked at and not sent.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seenEverywhere, start } from './system.mjs';

let system, failed;
before(async () => {
  system = await start();
  failed = await system.api('POST', '/v1/engine/missions', { goal: 'lose the parcels', tasks: [{ id: 'drop', uses: 'shell.run', retry: { max: 0 }, with: { script: 'exit 3' } }] });
  await system.until(failed.id, 'failed');
});
after(() => system?.end());

test('a question is answered with links to what it rests on, and a draft is only a draft', async () => {
  const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page, errors } = await system.open(context, '/organism/companion');
  const talk = page.getByRole('log');
  const ask = async (text) => {
    await page.getByLabel('Your question').fill(text);
    await page.getByLabel('Your question').press('Enter');
  };
  // Closed until it is earned, and it says where that stands.
  await ask('what is the status?');
  await talk.getByRole('alert').getByText(/COMPANION/).waitFor();
  assert.ok(errors.splice(0).every((each) => each.includes('409')));
  await system.api('PUT', '/v1/nexusmon/traits/COMPANION', { action: 'grant', until: new Date(Date.now() + 3_600_000).toISOString(), comment: 'to be asked' });
  await ask('why did the parcels fail?');
  await talk.getByText(/exit status \(3\)/).waitFor();
  await talk.getByRole('link', { name: /^mission lose the parcels/ }).waitFor();
  await talk.getByRole('link', { name: /^audit mission\.completed/ }).waitFor();
  await seenEverywhere(page, 'companion-answer', 'text=exit status (3)');
  await ask('draft a mission that counts the parcels');
  await talk.getByRole('button', { name: 'Look at it as a new mission' }).click();
  await page.waitForURL(/missions\/new\?mode=goal/);
  await page.waitForFunction(() => [...document.querySelectorAll('textarea, input')].some((each) => each.value.includes('counts the parcels')));
  assert.equal((await system.api('GET', '/v1/engine/missions')).items.length, 1, 'nothing was sent');
  // The conversation is there still, and its link leads to the task.
  await page.goBack();
  await talk.getByRole('link', { name: /^task drop/ }).click();
  await page.waitForURL(new RegExp(`missions/${failed.id}\\?task=tsk_`));
  assert.deepEqual(errors, []);
  await context.close();
});
