// What the system drafted from its own work: looked at beside the playbook most like it, promoted, or put aside.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seenEverywhere, start } from './system.mjs';

let system;
const weigh = { id: 'weigh', uses: 'shell.run', with: { script: 'printf \'{"grams": 3}\' > $NEXUSMON_OUTPUTS' } };
before(async () => {
  system = await start();
  await system.api('POST', '/v1/engine/playbooks', {
    name: 'weigh-things', goal: 'weigh ${{ inputs.what }}', input_schema: { properties: { what: { type: 'string' } }, required: ['what'] },
    tasks: [{ ...weigh, with: { script: 'printf \'{"pounds": 3}\' > $NEXUSMON_OUTPUTS', env: { WHAT: '${{ inputs.what }}' } } }],
  });
  // Ten that verify: five each of two kinds, which differ in their program.
  const kinds = [['weigh', weigh.with.script], ['count', 'printf \'{"number": 3}\' > $NEXUSMON_OUTPUTS']];
  for (let number = 0; number < 5; number += 1) {
    for (const [id, script] of kinds) {
      const made = await system.api('POST', '/v1/engine/missions', { goal: `${id} box${number}`, tasks: [{ id, uses: 'shell.run', with: { script, env: { WHAT: `box${number}` } } }] });
      await system.until(made.id, 'succeeded');
    }
  }
  // Drafted in the background, each minute.
  for (let offers = 0; offers < 2; offers = (await system.api('GET', '/v1/engine/learned')).items.length) await new Promise((resolve) => setTimeout(resolve, 500));
});
after(() => system?.end());

test('a learned playbook is compared, promoted and run, and another one is put aside', async () => {
  const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page, errors } = await system.open(context, '/organism/playbooks');
  const offers = page.getByRole('region', { name: 'Learned playbooks' });
  const one = offers.getByRole('listitem').filter({ hasText: /learned-[a-z0-9-]*weigh/ });
  const other = offers.getByRole('listitem').filter({ hasText: /learned-[a-z0-9-]*count/ });
  await one.getByText(/like weigh-things/).waitFor();
  await one.getByRole('button', { name: 'Compare' }).click();
  const text = offers.getByRole('region', { name: /^Text of learned-/ });
  await text.locator('.t-fail').filter({ hasText: 'pounds' }).waitFor();
  await text.locator('.t-ok').filter({ hasText: 'grams' }).waitFor();
  await seenEverywhere(page, 'playbooks-learned', 'text=Learned from verified missions');
  await one.getByRole('button', { name: 'Close' }).click();
  await text.waitFor({ state: 'detached' });

  const found = (await system.api('GET', '/v1/engine/learned')).items;
  const named = (word) => found.find((each) => each.name.includes(word)).name;
  await one.getByRole('button', { name: 'Promote' }).click();
  await one.waitFor({ state: 'detached' });
  await page.getByRole('link', { name: named('weigh') }).first().waitFor();
  const made = await system.api('POST', '/v1/engine/missions', { playbook: named('weigh'), inputs: { what: 'crate' } });
  assert.equal((await system.until(made.id, 'succeeded', 'failed')).goal, 'weigh crate');
  await other.getByRole('button', { name: 'Decline' }).click();
  await offers.waitFor({ state: 'detached' });
  const states = (await system.api('GET', '/v1/engine/learned')).items.map((each) => [each.name, each.status]);
  assert.deepEqual(Object.fromEntries(states), { [named('weigh')]: 'promoted', [named('count')]: 'declined' });
  assert.deepEqual(errors, []);
  await context.close();
});
