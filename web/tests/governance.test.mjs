// What an owner does in governance: policies tried before they hold, switches, bounds, people, tokens.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

test('a set of policies is put in force only once it was tried, and can be looked back at', async () => {
  const mission = await system.api('POST', '/v1/engine/missions', { goal: 'judged before', tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] });
  await system.until(mission.id, 'succeeded');
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await page.getByRole('link', { name: 'Propose a change' }).click();
  const set = page.getByLabel('Cedar, the whole set');
  const force = page.getByRole('button', { name: 'Put in force' });
  // What does not fit is named where it stands.
  await set.fill('@id("x")\npermit (principal, action == Action::"run_flagged", resource)\nwhen { context.colour == 1 };');
  await page.getByRole('button', { name: 'Replay' }).click();
  await page.getByRole('alert').filter({ hasText: 'line 3' }).waitFor();
  assert.ok(errors.splice(0).every((text) => text.includes('400')));
  await set.fill('@id("all-wait")\npermit (principal, action == Action::"run_with_approval", resource);');
  await page.getByLabel('Why').fill('everything waits');
  assert.ok(await force.isDisabled(), 'not before it was tried');
  await page.getByRole('button', { name: 'Replay' }).click();
  await page.getByText('1 of 1 mission would have been decided otherwise').waitFor();
  await page.getByRole('row', { name: /judged before/ }).getByText('Waits for 1 approval').waitFor();
  await set.press('End');
  await set.pressSequentially(' ');
  await page.getByText('You have changed the text since this replay').waitFor();
  assert.ok(await force.isDisabled(), 'not with another text than was tried');
  await page.getByRole('button', { name: 'Replay' }).click();
  await page.getByText('You have changed the text').waitFor({ state: 'detached' });
  // The coordinator may want a new log-in: the act waits for it and is then done.
  await page.route('**/v1/governance/policies', (route) => route.fulfill({ status: 403, contentType: 'application/problem+json', body: JSON.stringify({ code: 'log_in_again', detail: 'log in again' }) }), { times: 1 });
  await force.click();
  const dialog = page.getByRole('dialog', { name: 'Prove that it is you' });
  await dialog.getByLabel('Operator key').fill(system.ready.operator_key);
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('version 1 in force').waitFor();
  assert.equal((await system.api('GET', '/v1/governance/policies')).comment, 'everything waits');
  await page.getByRole('link', { name: /^0 as shipped/ }).click();
  await page.waitForURL(/version=0/);
  await page.getByText('Version 0 is not in force.').waitFor();
  await page.getByRole('button', { name: 'Changes' }).click();
  await page.getByRole('region', { name: 'What has changed' }).getByText('all-wait').waitFor();
  await page.getByRole('link', { name: 'What going back would change' }).click();
  await page.getByRole('button', { name: 'Replay' }).click();
  await page.getByText('looser').waitFor();
  assert.deepEqual(errors.splice(0).filter((text) => !text.includes('403')), []);
  await context.close();
});

test('where people sign, a proposed set is shown as waiting, not as in force', async () => {
  const approval = `apr_${'0'.repeat(26)}`;
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/governance/propose');
  const set = page.getByLabel('Cedar, the whole set');
  await set.fill('@id("none")\nforbid (principal, action == Action::"run_unattended", resource);');
  await page.getByLabel('Why').fill('asked for');
  await page.getByRole('button', { name: 'Replay' }).click();
  const { version } = await system.api('GET', '/v1/governance/policies');
  // As a coordinator answers that has a roster: accepted, and an approval to wait for.
  await page.route(/governance\/policies(\?|$)/, async (route) => {
    const asked = route.request().method() === 'POST';
    const answer = await route.fetch(asked ? { method: 'GET', postData: undefined } : {});
    await route.fulfill({ status: asked ? 202 : 200, json: { ...(await answer.json()), pending_approval: approval } });
  });
  await page.getByRole('button', { name: 'Put in force' }).click();
  await page.waitForURL(new RegExp(`approvals/${approval}`));
  await page.goto(`${system.origin}/organism/governance`);
  await page.getByText('A proposed set waits for approval.').waitFor();
  await page.getByText(`version ${version} in force`).waitFor();
  await context.close();
});

test('a capability is switched off where it is said, and on again', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/flags');
  await page.getByRole('button', { name: 'Switch core.noop off' }).click();
  await page.waitForURL(/off=core\.noop/);
  await page.getByLabel('Reason').fill('a smell');
  await page.getByText('core.noop stops on 1 machine').waitFor();
  await page.getByRole('button', { name: 'Switch off', exact: true }).press('Enter');
  const flag = page.getByRole('region', { name: 'Flags' }).getByRole('listitem').filter({ hasText: 'core.noop' });
  await flag.getByText('“a smell”').waitFor();
  assert.deepEqual((await system.api('GET', '/v1/fleet/flags')).items.map(({ capability, scope }) => [capability, scope]), [['core.noop', 'fleet']]);
  await flag.getByRole('button', { name: 'Switch on' }).click();
  await page.getByText('Nothing is switched off').waitFor();
  assert.deepEqual((await system.api('GET', '/v1/fleet/flags')).items, []);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a rate is set, changed, and taken away', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/rates');
  await page.getByRole('combobox', { name: 'Capability' }).fill('shell.run');
  await page.getByLabel('At most').fill('5');
  await page.getByRole('button', { name: 'Set it' }).click();
  await page.getByText('of 5 in 1 min').waitFor();
  await page.getByRole('button', { name: 'Change shell.run' }).click();
  await page.getByLabel('At most').fill('7');
  await page.getByRole('button', { name: 'Change it' }).click();
  await page.getByText('of 7 in 1 min').waitFor();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByText('Nothing bounds how often work starts').waitFor();
  assert.deepEqual((await system.api('GET', '/v1/fleet/rates')).items, []);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a token is shown once, works, and ends when its name is typed', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/tokens');
  await page.getByLabel('Name').fill('ci');
  await page.getByRole('radio', { name: 'Rank C' }).click();
  await page.getByRole('button', { name: 'Make it' }).click();
  const secret = await page.getByRole('region', { name: 'The secret of ci' }).getByRole('status').locator('code').innerText();
  const asked = () => fetch(`${system.ready.http}/v1/auth/me`, { headers: { authorization: `Bearer ${secret}` } });
  assert.equal((await (await asked()).json()).name, 'ci');
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await page.reload();
  await page.getByText('alone up to C').waitFor();
  assert.ok(!(await page.locator('body').innerText()).includes(secret), 'shown once');
  await page.getByRole('button', { name: 'Revoke…' }).click();
  const revoke = page.getByRole('button', { name: 'Revoke for good' });
  assert.ok(await revoke.isDisabled());
  await page.getByRole('dialog').getByRole('textbox').fill('ci');
  await revoke.click();
  await page.getByText('No token').waitFor();
  assert.equal((await asked()).status, 401);
  assert.deepEqual(errors, []);
  await context.close();
});

test('somebody is let in, given another role, and let go', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/people');
  await page.getByLabel('Name').fill('kim');
  await page.getByRole('button', { name: 'Let in' }).click();
  await page.getByRole('region', { name: 'The secret of kim' }).waitFor();
  await page.getByLabel('Role of kim').selectOption('operator');
  await page.getByText('kim is operator from now on').waitFor();
  const kim = async () => (await system.api('GET', '/v1/governance/principals')).items.find((each) => each.name === 'kim');
  assert.equal((await kim()).role, 'operator');
  await page.getByRole('button', { name: 'Revoke…' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('kim');
  await page.getByRole('button', { name: 'Revoke for good' }).click();
  await page.getByRole('button', { name: /Revoked/ }).click();
  await page.waitForURL(/show=revoked/);
  await page.getByText('revoked just now').waitFor();
  assert.ok((await kim()).revoked_at);
  assert.deepEqual(errors, []);
  await context.close();
});

test('who may sign is shown, and how it is changed where the key is', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/roster');
  await page.getByText('Nobody can sign yet').waitFor();
  await system.command('key', 'make');
  await page.getByRole('region', { name: 'Who may sign' }).getByText('key of the command line').waitFor();
  await page.getByText('nexusmon roster add').waitFor();
  // What was signed with it is told apart, in the history of all and in that of the mission.
  const mission = await system.api('POST', '/v1/engine/missions', { goal: 'signed for', tasks: [{ id: 'a', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });
  await system.command('mission', 'approve', mission.id, '--comment', 'read it, fine');
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await page.getByRole('link', { name: 'History' }).click();
  const decided = page.getByRole('region', { name: 'What was decided' });
  await decided.getByText('signed with a key of the command line').waitFor();
  await decided.getByText('read it, fine').waitFor();
  await decided.getByRole('button', { name: /Approved/ }).click();
  await page.waitForURL(/status=approved/);
  await page.goto(`${system.origin}/organism/missions/${mission.id}?tab=approvals`);
  await decided.getByText('signed with a key of the command line').waitFor();
  assert.deepEqual(errors.splice(0).filter((text) => !text.includes('404')), []);
  await context.close();
});
