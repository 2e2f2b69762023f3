// What people do, from the login to the result.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hostile, logIn, start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };

test('a wrong key is refused in words, the right one opens, logging out closes', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/agents', { login: false });
  await page.getByLabel('Operator key').fill('not the key at all, really');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  assert.deepEqual(errors.splice(0).filter((text) => !text.includes('401')), []);
  await logIn(page, system.ready.operator_key);
  // The address one came for is the one that opens.
  await page.getByRole('heading', { name: 'Agents' }).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Operator key').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('what does not end when it is cancelled is killed', async () => {
  const context = await system.browser.newContext(desk);
  const stubborn = await system.api('POST', '/v1/engine/missions', { goal: 'stay', tasks: [{ id: 'stay', uses: 'shell.run', with: { script: "trap '' TERM; echo here; while true; do sleep 600; done" } }] });
  await system.until(stubborn.id, 'running');
  const { page, errors } = await system.open(context, `/organism/missions/${stubborn.id}`);
  await page.getByRole('button', { name: 'Cancel…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Cancel this mission?' });
  await dialog.getByText('killed, none').waitFor();
  await dialog.getByRole('button', { name: 'Kill at once' }).click();
  await page.getByText(/^Killed: 1 attempt told to end/).first().waitFor();
  await system.until(stubborn.id, 'cancelled');
  await page.getByRole('button', { name: 'Run again', exact: true }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('create a mission, follow its graph and log, take its artifact', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.getByRole('link', { name: /New mission/ }).first().click();
  await page.getByRole('textbox', { name: /Plan as YAML/ }).fill(`goal: ${JSON.stringify(`count ${hostile}`)}
tasks:
  - id: fetch
    uses: shell.run
    with: { script: "seq 1000 > out.csv; for n in $(seq 1 3000); do echo line $n; done" }
    artifacts: ["*.csv"]
  - { id: count, uses: shell.run, needs: [fetch], with: { script: "echo counted" } }
`);
  await page.getByText('Starts at once').waitFor();
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.waitForURL(/missions\/mis_/);
  const id = /mis_\w+/.exec(page.url())[0];
  await system.until(id, 'succeeded');
  await page.getByRole('button', { name: /^fetch, Succeeded/ }).click();
  const lines = page.getByRole('region', { name: 'Lines' });
  await lines.getByText('line 3000', { exact: true }).waitFor();
  // Far up, by searching the whole of it at the coordinator.
  await page.getByLabel('Find in the whole log').fill('line 1234');
  await page.locator('.hit', { hasText: 'line 1234' }).waitFor();
  assert.ok((await page.locator('.lines .line').count()) <= 60, 'only what is seen is drawn');
  await page.getByRole('button', { name: 'Link to line 1234' }).click();
  assert.match(page.url(), /line=1234/);
  // What tries to be more than text is text.
  assert.notEqual(await page.title(), 'owned');
  const seen = await page.locator('main').innerText();
  assert.doesNotMatch(seen, /[\u202e\u001b]/, 'nothing reorders or hides what is read');
  assert.match(seen, /\ufffdgnp\.exe/, 'it is shown where it stood');
  await page.getByRole('tab', { name: /Artifacts/ }).click();
  await page.getByRole('link', { name: 'out.csv', exact: true }).click();
  await page.getByRole('region', { name: 'Content' }).locator('.line', { hasText: /^997$/ }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /Download v1/ }).click()]);
  assert.equal(download.suggestedFilename(), 'out.csv');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a mission made elsewhere appears, by itself, in every tab', async () => {
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/missions');
  const { page: second } = await system.open(context, '/organism/missions');
  await second.locator('[data-state=live]').waitFor();
  const { id } = await system.api('POST', '/v1/engine/missions', { goal: 'from elsewhere', tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] });
  for (const tab of [page, second]) await tab.locator(`a[href="/organism/missions/${id}"]`).waitFor();
  // The tab that read the stream goes; the other takes over and misses nothing.
  await page.close();
  const next = await system.api('POST', '/v1/engine/missions', { goal: 'after the first tab', tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] });
  await second.locator(`a[href="/organism/missions/${next.id}"]`).waitFor();
  await context.close();
});

const grave = (goal) => system.api('POST', '/v1/engine/missions', { goal, tasks: [{ id: 'who', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });

test('grave work says how it is signed, and the page follows when it was', async () => {
  const mission = await grave('needs a person');
  const context = await system.browser.newContext(phone);
  const { page, errors } = await system.open(context, `/organism/approve/${mission.approval.id}`);
  await page.getByText(/If you approve, who runs/).waitFor();
  await page.getByText('outside of any sandbox').waitFor();
  // On a phone the way to sign is folded, so that what is decided keeps the window.
  await page.getByText('on the command line').click();
  await page.getByText('nexusmon key make').waitFor();
  await page.getByText(`nexusmon mission approve ${mission.id}`, { exact: false }).waitFor();
  assert.equal(await page.getByRole('button', { name: /Hold 2 s/ }).count(), 0);
  await system.command('key', 'make');
  await system.command('mission', 'approve', mission.id, '--comment', 'read it, fine');
  await page.getByText('approved', { exact: false }).first().waitFor();
  await system.until(mission.id, 'succeeded', 'running', 'failed');
  assert.deepEqual(errors, []);
  await context.close();
});

test('deny by keyboard alone', async () => {
  const mission = await grave('to be denied');
  const context = await system.browser.newContext(desk);
  const { page } = await system.open(context, '/organism/missions');
  await page.locator('a.row-link').first().waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await page.waitForURL(/approvals/);
  await page.goto(`${system.origin}/organism/approvals/${mission.approval.id}`);
  await page.getByText(/If you approve/).waitFor();
  await page.getByLabel(/Reason/).fill('no');
  await page.getByRole('button', { name: /Deny/ }).focus();
  await page.keyboard.press('Enter');
  await system.until(mission.id, 'rejected');
  await context.close();
});

test('invite a machine: one line, and what it needs to be read', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/agents');
  await page.getByRole('button', { name: /Invite a machine/ }).click();
  await page.getByLabel('Name', { exact: true }).fill('edge-1');
  await page.getByRole('button', { name: 'Make the invite' }).click();
  await page.getByText(/^nexusmon-agent join nxj1\./).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  // Revoking asks for the name.
  await page.locator('main .who').first().click();
  await page.waitForURL(/agents\/agt_/);
  await page.getByRole('button', { name: 'Revoke…' }).click();
  assert.ok(await page.getByRole('button', { name: 'Revoke for good' }).isDisabled());
  assert.deepEqual(errors, []);
  await context.close();
});

test('palette, help and the theme by key', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('Control+k');
  const palette = await page.getByRole('dialog').boundingBox();
  assert.ok(palette.y > 0 && palette.y + palette.height < 900 && palette.x > 0, 'it stands in the middle of the window');
  await page.getByPlaceholder(/A room, an act/).fill('cogni');
  await page.keyboard.press('Enter');
  await page.waitForURL(/cognition/);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('t');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a thousand tasks: drawn in a Worker, few nodes, the page never stands still', async () => {
  const tasks = Array.from({ length: 1000 }, (_, at) => ({
    id: `t${at}`, uses: 'shell.run', with: { script: 'true' },
    needs: at < 25 ? [] : [`t${at - 25}`, ...(at % 7 === 0 ? [`t${at - 24}`] : [])],
  }));
  const mission = await system.api('POST', '/v1/engine/missions', { goal: 'a thousand', start: 'manual', tasks });
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/missions/${mission.id}`);
  await page.locator('svg .node').first().waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  assert.ok((await page.locator('.canvas *').count()) <= 250, 'far out, nodes are dots');
  for (let step = 0; step < 6; step++) await page.getByRole('button', { name: 'Zoom in' }).click();
  assert.ok((await page.locator('.canvas svg *').count()) <= 250, 'near, only what is in view is drawn');
  assert.deepEqual(errors, []);
  await context.close();
});
