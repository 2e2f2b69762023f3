// Playbooks from the first line to a run of an older version, secrets that are set and never seen again, standing approvals,
// and what is written but not sent yet.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { authenticator, seen, seenEverywhere, start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };

const TIDY = (say) => `name: tidy
description: tidies one folder
input_schema:
  properties:
    folder: {type: string, pattern: "^/srv/", description: where}
    days: {type: integer, minimum: 1, default: 30}
    mode: {enum: [look, count]}
  required: [folder]
goal: ${say} \${{ inputs.folder }}
tasks:
  - id: look
    uses: shell.run
    with:
      script: echo "$FOLDER $DAYS"
      env: {FOLDER: "\${{ inputs.folder }}", DAYS: "\${{ inputs.days }}"}
`;

test('a playbook is written, refused where it is wrong, kept, changed, compared, and run in the version one wants', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('g');
  await page.keyboard.press('b');
  await page.getByRole('button', { name: 'Write the first' }).click();
  const text = page.getByRole('textbox', { name: 'Playbook as YAML or JSON' });
  await text.fill(TIDY('tidy').replace('uses: shell.run', 'used: shell.run'));
  await page.getByRole('button', { name: 'Keep it' }).click();
  await page.getByRole('button', { name: /^line 1[12]/ }).first().click();
  assert.match(await text.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd)), /id|used|look/);
  await seenEverywhere(page, 'playbook-wrong', '.mistakes');
  assert.ok(errors.splice(0).every((each) => /40[09]|422/.test(each)));
  // What is written outlives a reload.
  await page.reload();
  await page.getByText('Your draft is kept on this device').waitFor();
  assert.match(await text.inputValue(), /used: shell\.run/);
  await text.fill(TIDY('tidy'));
  await page.getByRole('button', { name: 'Keep it' }).click();
  await page.waitForURL(/playbooks\/tidy$/);
  await page.getByRole('region', { name: 'Inputs' }).getByText('folder').waitFor();
  // Another version, and what it changed.
  await page.getByRole('button', { name: 'New version' }).click();
  await text.fill(TIDY('clear'));
  await page.getByRole('region', { name: 'Against version 1' }).getByText('goal: clear').waitFor();
  await page.getByRole('button', { name: 'Keep version 2' }).click();
  await page.getByRole('region', { name: 'Version 2' }).waitFor();
  await page.getByRole('button', { name: 'Changes from 1' }).click();
  await page.waitForURL(/show=changes/);
  await page.getByRole('region', { name: 'What changed from version 1 to 2' }).getByText('goal: tidy').waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'YAML' }).click()]);
  assert.equal(download.suggestedFilename(), 'tidy@2.yaml');
  assert.match(await readFile(await download.path(), 'utf8'), /goal: clear/);
  // The older one, filled in; what does not fit is said at its input, by the coordinator.
  await page.getByRole('region', { name: 'Versions' }).getByRole('link', { name: /v1/ }).click();
  await page.getByRole('link', { name: 'Run version 1…' }).click();
  const folder = page.getByLabel(/^folder/);
  await folder.fill('/etc');
  await page.locator('#about-folder .t-fail').waitFor();
  await page.getByText('Not ready to send').waitFor();
  await folder.fill('/srv/web');
  await page.getByLabel(/^days/).fill('60');
  await page.getByLabel(/^mode/).selectOption('count');
  await page.getByText('Starts at once').waitFor();
  await page.reload();
  await page.getByText('Starts at once').waitFor();
  assert.equal(await folder.inputValue(), '/srv/web');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.waitForURL(/missions\/mis_/);
  const made = await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded');
  assert.deepEqual([made.goal, made.plan.playbook, made.inputs], ['tidy /srv/web', 'tidy@1', { folder: '/srv/web', days: 60, mode: 'count' }]);
  // Sent: the form is empty again.
  await page.goto(`${system.origin}/organism/missions/new?playbook=tidy@1`);
  await folder.waitFor();
  assert.equal(await folder.inputValue(), '');
  assert.deepEqual(errors.filter((each) => !/400|422/.test(each)), []);
  await context.close();
});

test('a playbook comes from a file, by touch, and is retired by its name', async () => {
  const context = await system.browser.newContext(phone);
  const { page, errors } = await system.open(context, '/organism/playbooks?write=1');
  await page.getByLabel('A file with a playbook').setInputFiles({ name: 'gone.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify({ name: 'gone', goal: 'x', tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] })) });
  await page.getByRole('button', { name: 'Keep it' }).tap();
  await page.waitForURL(/playbooks\/gone$/);
  await seen(page, 'playbook-one-phone-light');
  await page.getByRole('button', { name: 'Retire…' }).tap();
  await page.getByRole('dialog').getByRole('textbox').fill('gone');
  await page.getByRole('button', { name: 'Retire for good' }).tap();
  await page.getByText('retired just now').waitFor();
  assert.ok((await system.api('GET', '/v1/engine/playbooks/gone/versions')).items[0].retired_at);
  assert.deepEqual(errors, []);
  await context.close();
});

test('what is written survives a reload, is gone once sent, and with logging out', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions/new');
  const plan = page.getByRole('textbox', { name: /Plan as YAML/ });
  await plan.fill('goal: half a thought\ntasks:\n  - id: a\n    uses: shell.runn\n    with: { script: "true" }\n');
  await page.getByRole('combobox', { name: /^Rank/ }).selectOption('C');
  // The mistake stands at its line, and its button leads there.
  await page.getByRole('list', { name: 'What is wrong' }).getByText('/tasks/0/uses').waitFor();
  await page.getByRole('button', { name: 'line 4' }).click();
  assert.equal(await plan.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd)), 'shell.runn');
  await seenEverywhere(page, 'new-mission-wrong', '.mistakes');
  await page.reload();
  await page.getByText('Your draft is kept').waitFor();
  assert.match(await plan.inputValue(), /half a thought/);
  assert.equal(await page.getByRole('combobox', { name: /^Rank/ }).inputValue(), 'C');
  errors.splice(0);
  await plan.fill('goal: a thought\ntasks:\n  - id: a\n    uses: shell.run\n    with: { script: "true" }\n');
  await page.getByText('could run on').waitFor();
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.waitForURL(/missions\/mis_/);
  await page.goto(`${system.origin}/organism/missions/new`);
  await plan.waitFor();
  assert.doesNotMatch(await plan.inputValue(), /thought/);
  await plan.fill('goal: left behind\ntasks: []\n');
  await page.getByText('Your draft is kept').waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Operator key').waitFor();
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((each) => each.startsWith('nexusmon.draft')).length), 0);
  // The stream of a session that ended is refused, and the browser writes that down.
  assert.deepEqual(errors.filter((each) => !/40[01]|422/.test(each)), []);
  await context.close();
});

test('a secret is set, used, bound, rotated and removed, and nowhere to be read', async () => {
  const value = 'correct-horse-battery-1';
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/governance/secrets');
  const answers = [];
  page.on('response', async (answer) => answer.url().includes('/v1/') && !answer.url().includes('/events') && answers.push(await answer.text().catch(() => '')));
  const form = page.getByRole('region', { name: 'Set a secret' });
  await form.getByLabel(/^Name/).fill('api-token');
  await form.getByLabel(/^Value/).fill('short');
  await form.getByText('Too short or too simple to be masked').waitFor();
  await form.getByLabel(/^Value/).fill(`${value}\n`);
  await form.getByLabel('Hosts').fill('h'.repeat(300));
  await form.getByRole('button', { name: 'Set it' }).click();
  await form.getByRole('alert').getByText(/is no name/).waitFor();
  assert.ok(errors.splice(0).every((each) => each.includes('400')));
  await form.getByLabel('Hosts').fill('');
  const [agent] = (await system.api('GET', '/v1/fleet/agents')).items;
  await form.getByRole('checkbox', { name: agent.name }).check();
  await form.getByRole('button', { name: 'Set it' }).press('Enter');
  const row = page.getByRole('region', { name: 'Secrets' }).getByRole('listitem').filter({ hasText: 'api-token' });
  await row.getByText('no machine has received it').waitFor();
  await row.getByText(`machine ${agent.name}`).waitFor();
  const mission = await system.api('POST', '/v1/engine/missions', { goal: 'use it', tasks: [{ id: 'a', uses: 'shell.run', on: { agent: agent.name }, secrets: ['api-token'], with: { script: 'cat "$NEXUSMON_SECRETS/api-token" | wc -c' } }] });
  assert.equal((await system.until(mission.id, 'succeeded', 'failed', 'awaiting_approval')).status, 'succeeded');
  await row.getByText('1 machine received it').waitFor();
  // Another value: who knows the old one is said.
  await row.getByRole('button', { name: 'New value…' }).click();
  await page.waitForURL(/set=api-token/);
  const anew = page.getByRole('region', { name: 'A new value for api-token' });
  await anew.getByText('It stays bound as it is').waitFor();
  await anew.getByLabel('A file with the value').setInputFiles({ name: 'key.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 1, 2, 250, 251, 252, 253]) });
  await anew.getByRole('button', { name: 'Set version 2' }).click();
  await row.getByText('1 an earlier value only').waitFor();
  await seenEverywhere(page, 'secrets-rotated', 'text=1 an earlier value only');
  const [kept] = (await system.api('GET', '/v1/governance/secrets')).items;
  assert.deepEqual([kept.version, kept.binding.agents], [2, [agent.id]]);
  assert.ok(!answers.join('').includes(value), 'no answer holds the value');
  const here = await page.evaluate(() => document.body.innerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }) + location.href);
  assert.ok(!here.includes(value), 'nor does the page, its address or its storage');
  await row.getByRole('button', { name: 'Remove…' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('api-token');
  await page.getByRole('button', { name: 'Remove for good' }).click();
  await page.getByText('No secret yet').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('what work would be handed, to whom that went before, and how many reviews are alike, is said where one decides', async () => {
  const [agent] = (await system.api('GET', '/v1/fleet/agents')).items;
  await system.api('PUT', '/v1/governance/secrets/build-key', { value: 'correct-horse-battery-2', binding: { agents: [agent.id] } });
  const script = { script: 'wc -c < "$NEXUSMON_SECRETS/build-key"' };
  const inside = { goal: 'count the key', tasks: [{ id: 'a', uses: 'shell.run', on: { agent: agent.name }, secrets: [{ name: 'build-key', env: 'BUILD_KEY' }], with: script }] };
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions/new');
  await page.getByRole('textbox', { name: /Plan as YAML/ }).fill(JSON.stringify(inside));
  const dry = page.getByRole('complementary', { name: 'Before it is sent' });
  await dry.getByText('build-key: handed to nobody yet').waitFor();
  for (let run = 0; run < 2; run += 1) {
    const mission = await system.api('POST', '/v1/engine/missions', inside);
    assert.equal((await system.until(mission.id, 'succeeded', 'failed', 'awaiting_approval')).status, 'succeeded');
  }
  await dry.getByText(`build-key: handed to ${agent.name} (v1) before`).waitFor();
  // Without a machine it could go anywhere: that waits, and says the same.
  const outside = await system.api('POST', '/v1/engine/missions', { ...inside, tasks: [{ ...inside.tasks[0], on: {} }] });
  await page.goto(`${system.origin}/organism/approvals/${outside.approval.id}`);
  const article = page.getByRole('article', { name: /^Approval/ });
  await article.getByText(`build-key: handed to ${agent.name} (v1) before`).waitFor();
  await page.goto(`${system.origin}/organism/reviews`);
  const alike = page.getByRole('listitem').filter({ hasText: 'count the key' });
  await alike.first().getByText('1 more review of identical work: accepting closes those that verified').waitFor();
  assert.equal(await alike.count(), 2);
  await system.api('POST', `/v1/engine/missions/${outside.id}/cancel`);
  assert.deepEqual(errors, []);
  await context.close();
});

// Last: from here on there is a roster.
test('a standing approval is asked for, signed by a passkey, spent, nearly fits, and is revoked', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/settings');
  await authenticator(page);
  await page.getByLabel(/Name of a new one/).fill('my key');
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.getByRole('region', { name: 'Passkeys' }).getByText('my key', { exact: true }).waitFor();
  await system.command('key', 'make');
  const me = await system.api('GET', '/v1/auth/me');
  const { items } = await system.api('GET', '/v1/auth/passkeys');
  await system.command('roster', 'add', me.id, '--passkey', items[0].key);
  await system.api('POST', '/v1/engine/playbooks', {
    name: 'clear', goal: 'clear ${{ inputs.folder }}',
    input_schema: { properties: { folder: { type: 'string', pattern: '^/srv/[a-z]+$' } }, required: ['folder'] },
    tasks: [{ id: 'clear', uses: 'shell.run', sandbox: 'none', with: { script: 'echo "$FOLDER"', env: { FOLDER: '${{ inputs.folder }}' } } }],
  });
  await page.goto(`${system.origin}/organism/playbooks/clear`);
  await page.getByRole('link', { name: 'Ask for a standing approval' }).click();
  await page.getByLabel(/^Starts/).fill('2');
  await page.getByText('On the command line instead').click();
  await page.getByText('nexusmon standing add clear@1 --uses 2 --valid-for 720h').waitFor();
  await seenEverywhere(page, 'standing-ask', 'text=nexusmon standing add');
  await page.getByRole('button', { name: 'Ask those who sign' }).click();
  await page.waitForURL(/approvals\/apr_/);
  // What the signature covers is there to be read.
  await page.getByRole('region', { name: 'What it would run' }).getByText('echo "$FOLDER"').waitFor();
  await seenEverywhere(page, 'approval-standing', 'text=What it would run');
  await page.getByLabel(/Reason/).fill('weekly, read it');
  await page.getByRole('button', { name: /Hold 2 s to sign/ }).press('Enter');
  await page.getByRole('button', { name: 'Press Enter to approve' }).press('Enter');
  await page.getByText('Approved', { exact: true }).first().waitFor();
  await page.goto(`${system.origin}/organism/governance/standing`);
  await page.getByRole('link', { name: 'clear@1' }).waitFor();
  await seenEverywhere(page, 'standing', 'text=clear@1');
  await page.getByRole('link', { name: 'clear@1' }).click();
  await page.getByText('0 of 2 used').waitFor();
  // A person runs it in the page, and nobody is asked.
  await page.goto(`${system.origin}/organism/missions/new?playbook=clear@1`);
  await page.getByLabel(/^folder/).fill('/srv/web');
  await page.getByText(/Waits for approval|Starts at once/).first().waitFor();
  await page.getByRole('button', { name: /^Send/ }).click();
  await page.waitForURL(/missions\/mis_/);
  const spent = await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded', 'failed');
  assert.equal(spent.status, 'succeeded');
  const [standing] = (await system.api('GET', '/v1/governance/standing-approvals')).items;
  assert.equal(standing.used, 1);
  // Of a higher rank it is not covered: it waits, and the standing approval says how nearly it fitted.
  const missed = await system.api('POST', '/v1/engine/missions', { playbook: 'clear', inputs: { folder: '/srv/mail' }, rank: 'S' });
  assert.equal(missed.status, 'awaiting_approval');
  await page.goto(`${system.origin}/organism/governance/standing/${standing.id}`);
  await page.getByText('1 of 2 used').waitFor();
  await page.getByRole('region', { name: 'What it was spent on' }).getByRole('link', { name: `mission ${spent.id.slice(-6)}` }).waitFor();
  await page.getByRole('region', { name: 'What nearly fitted' }).getByText(/rank/).waitFor();
  await seenEverywhere(page, 'standing-one', 'text=1 of 2 used');
  await page.getByRole('button', { name: 'Revoke…' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('clear@1');
  await page.getByRole('button', { name: 'Revoke for good' }).click();
  await page.getByText('Revoked', { exact: true }).waitFor();
  assert.equal((await system.api('GET', `/v1/governance/standing-approvals/${standing.id}`)).status, 'revoked');
  assert.deepEqual(errors.filter((each) => !/40[04]/.test(each)), []);
  await context.close();
});
