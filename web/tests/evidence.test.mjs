// What can be looked into before anybody believes or decides: what a machine runs and how it came, what is new in a plan,
// who signed where an artifact came from.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { built, seenEverywhere, start } from './system.mjs';

let system;
let agent;
before(async () => {
  system = await start();
  [agent] = (await system.api('GET', '/v1/fleet/agents')).items;
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const mission = (goal, script, more = {}) => system.api('POST', '/v1/engine/missions', { goal, ...more, tasks: [{ id: 'do', uses: 'shell.run', artifacts: ['*.md'], with: { script } }] });

test('a machine shows what it runs, how that came out before, and how it came', async () => {
  const ended = await mission('one that ended', 'true');
  await system.until(ended.id, 'succeeded');
  const long = await mission('one that runs', 'sleep 600');
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/agents/${agent.id}`);
  const now = page.getByRole('list', { name: 'Runs now' });
  await now.getByRole('link', { name: 'do' }).waitFor();
  assert.equal(await now.getByRole('listitem').count(), 1, 'and nothing that ended');
  await page.getByText(/\d+\u202f% trust/).first().waitFor();
  await page.getByRole('list', { name: 'Lately' }).getByText('Connected').waitFor();
  await seenEverywhere(page, 'agent-runs', '[aria-label="Runs now"] a');
  await system.api('POST', `/v1/engine/missions/${long.id}/cancel`, {});
  await now.getByText('nothing').waitFor();
  await system.api('POST', `/v1/fleet/agents/${agent.id}/pause`, {});
  await page.getByRole('list', { name: 'Lately' }).getByText('Paused').waitFor();
  await system.api('POST', `/v1/fleet/agents/${agent.id}/resume`, {});
  await page.getByRole('list', { name: 'Lately' }).getByText('Resumed').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('a plan is shown against the last one of its kind that was approved', async () => {
  const { text } = await system.api('GET', '/v1/governance/policies');
  await system.api('POST', '/v1/governance/policies', { text: text.replace('context.rank <= 3', 'context.rank <= 2'), comment: 'B waits' });
  const ask = async (script) => {
    const made = await mission('reload the edge', script, { rank: 'B' });
    return (await system.until(made.id, 'awaiting_approval')).approval;
  };
  const first = await ask('echo v2\necho done');
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/approvals/${first.id}`);
  await page.getByText('No plan of its kind was approved before').waitFor();
  await system.api('POST', `/v1/governance/approvals/${first.id}/decisions`, { digest: first.digest, verdict: 'approve', comment: 'as agreed' });
  const second = await ask('echo v3\necho done');
  await page.goto(`${system.origin}/organism/approvals/${second.id}`);
  const change = page.getByRole('region', { name: 'Change', exact: true });
  await change.getByText('Against the last approved plan with the same goal').waitFor();
  assert.deepEqual(await change.locator('.gone code, .add code').allInnerTexts().then((all) => all.map((each) => each.replace(/\s+/g, ' ').trim())), ['removed echo v2', 'added echo v3']);
  await seenEverywhere(page, 'approval-change', '[aria-label=Change] .add');
  await change.getByRole('link', { name: /^approved/ }).click();
  await page.waitForURL(`**/approvals/${first.id}`);
  assert.deepEqual(errors, []);
  await context.close();
});

test('who signed where an artifact came from is read, and checked by the line that is shown', async () => {
  const made = await mission('write a report', 'echo all is well > report.md');
  await system.until(made.id, 'succeeded');
  const [artifact] = (await system.api('GET', `/v1/vault/artifacts?mission=${made.id}`)).items.filter((each) => each.name === 'report.md');
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/vault/${artifact.id}`);
  const part = page.getByRole('region', { name: 'Signed provenance' });
  await part.getByRole('button', { name: 'Read it' }).press('Enter');
  await part.getByText('The signature holds').waitFor();
  await part.getByText('It names this version’s digest, as report.md').waitFor();
  await part.getByText('nobody had to approve').waitFor();
  await seenEverywhere(page, 'artifact-provenance', '[aria-label="Signed provenance"] pre');
  const lines = (await part.getByRole('region', { name: 'Commands that check it' }).innerText()).trim().split('\n');
  // What the first two fetch; the last one is run as it stands there.
  const token = await fetch(`${system.ready.http}/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ operator_key: system.ready.operator_key }) }).then((answer) => answer.json());
  const read = (route) => fetch(`${system.ready.http}/v1/vault/artifacts/${artifact.id}/${route}`, { headers: { authorization: `Bearer ${token.access_token}` } }).then((answer) => answer.text());
  await writeFile(path.join(system.home, 'report.md'), await read('content'));
  await writeFile(path.join(system.home, 'report.md.provenance.json'), await read('provenance'));
  const { stdout } = await promisify(execFile)(built('nexusmon'), lines.at(-1).split(' ').slice(1), { cwd: system.home });
  assert.match(stdout, new RegExp(`^report\\.md was made by ${agent.id}`));
  await writeFile(path.join(system.home, 'report.md'), 'all is lost\n');
  await assert.rejects(promisify(execFile)(built('nexusmon'), lines.at(-1).split(' ').slice(1), { cwd: system.home }));
  assert.deepEqual(errors, []);
  await context.close();
});

test('a set of policies that waits for signatures is shown against the one it would replace', async () => {
  await system.command('key', 'make');
  const { text, version } = await system.api('GET', '/v1/governance/policies');
  const { pending_approval } = await system.api('POST', '/v1/governance/policies', { text: text.replace('context.rank <= 1', 'context.rank <= 0'), comment: 'D waits, too' });
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/approvals/${pending_approval}`);
  const change = page.getByRole('region', { name: 'Change', exact: true });
  await change.getByText(`Against version ${version}, which is in force. Asked for: D waits, too`).waitFor();
  assert.deepEqual(await change.locator('.gone code, .add code').allInnerTexts().then((all) => all.map((each) => each.replace(/\s+/g, ' ').trim())), ['removed when { context.rank <= 1 };', 'added when { context.rank <= 0 };']);
  await seenEverywhere(page, 'approval-policies', '[aria-label=Change] .add');
  assert.deepEqual(errors, []);
  await context.close();
});
