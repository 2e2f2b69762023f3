// Where the console meets other programs: a second machine that joins by the line it shows, a plugin dropped on a machine,
// an export that the command line checks, a coordinator that is gone for a while. And the kill switch, by each hand.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { built, seen, start } from './system.mjs';

const execute = promisify(execFile);
let system;
const running = [];
before(async () => {
  system = await start();
});
after(async () => {
  for (const child of running) child.kill('SIGTERM');
  await Promise.all(running.map((child) => child.exitCode ?? child.signalCode ?? new Promise((resolve) => child.once('exit', resolve))));
  await system?.end();
});
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };
const shell = (id, script, more = {}) => ({ id, uses: 'shell.run', with: { script }, ...more });
const at = (folder) => ({ env: { PATH: process.env.PATH, HOME: folder, NEXUSMON_AGENT_DATA_DIR: path.join(folder, 'agent'), NEXUSMON_AGENT_LOG: 'warn' } });

/** On a machine with a home of its own: joins by the line as it was shown, and works. What it said when it joined. */
async function join(name, line) {
  const [program, ...args] = line.trim().split(/\s+/);
  assert.equal(program, 'nexusmon-agent');
  const machine = at(path.join(system.home, name));
  const { stdout } = await execute(built(program), args, machine);
  running.push(spawn(built(program), ['run'], { ...machine, stdio: 'ignore' }));
  return stdout;
}

test('a second machine joins by the line that was shown, its six words are compared, and it works', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/agents');
  await page.getByRole('button', { name: /Invite a machine/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('edge-1');
  await dialog.getByLabel('Highest rank it is offered').selectOption('B');
  await dialog.getByLabel(/^Labels/).fill('region=edge');
  await dialog.getByRole('button', { name: 'Make the invite' }).click();
  const said = await join('edge-1', await dialog.getByText(/^nexusmon-agent join nxj1\./).innerText());
  const [, words] = /^ {4}((?:[a-z]+ ){5}[a-z]+)$/m.exec(said) ?? assert.fail(said);
  // Without closing anything: the dialog hears of it.
  await dialog.getByText('edge-1 has joined.').waitFor();
  assert.equal(await dialog.locator('.words').innerText(), words, 'the words of the machine itself');
  await seen(page, 'invite-words-desk-dark');
  const one = async () => (await system.api('GET', '/v1/fleet/agents')).items.find(({ name }) => name === 'edge-1');
  assert.equal((await one()).state, 'pending');
  await dialog.getByRole('button', { name: 'They are the same' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await one()).state, 'active');
  await page.locator('main .who', { hasText: 'edge-1' }).waitFor();
  // One graph over both machines, each task where it is meant to be.
  const [local] = (await system.api('GET', '/v1/fleet/agents')).items.filter(({ name }) => name !== 'edge-1');
  const { id } = await system.api('POST', '/v1/engine/missions', { goal: 'over two machines', tasks: [shell('here', 'echo here', { on: { agent: local.id } }), shell('there', 'echo "there it ran"', { needs: ['here'], on: { labels: { region: 'edge' } } })] });
  assert.equal((await system.until(id, 'succeeded', 'failed')).status, 'succeeded');
  await page.goto(`${system.origin}/organism/missions/${id}`);
  await page.getByRole('button', { name: /^there, Succeeded/ }).click();
  await page.getByRole('region', { name: 'Lines' }).getByText('there it ran', { exact: true }).waitFor();
  await page.getByRole('region', { name: 'Task there' }).getByText('edge-1').first().waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('by finger: a machine whose words are compared on its own page', async () => {
  const invite = await system.api('POST', '/v1/fleet/invites', { name: 'edge-2', max_rank: 'A', labels: {} });
  const said = await join('edge-2', invite.command);
  const context = await system.browser.newContext(phone);
  const { page, errors } = await system.open(context, '/organism/agents');
  await page.locator('main .who', { hasText: 'edge-2' }).tap();
  const words = await page.locator('.words').innerText();
  assert.match(said, new RegExp(`^ {4}${words}$`, 'm'));
  await seen(page, 'agent-words-phone-light');
  await page.getByRole('button', { name: 'They are the same' }).tap();
  await page.locator('.words').waitFor({ state: 'detached' });
  assert.equal((await system.api('GET', '/v1/fleet/agents')).items.find(({ name }) => name === 'edge-2').state, 'active');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a plugin that is dropped on a machine is offered there, used, and gone with its folder', async () => {
  const context = await system.browser.newContext(desk);
  const [agent] = (await system.api('GET', '/v1/fleet/agents')).items.filter(({ name }) => !name.startsWith('edge-'));
  const { page, errors } = await system.open(context, `/organism/agents/${agent.id}`);
  const panel = page.getByRole('region', { name: `Agent ${agent.name}` });
  await panel.getByText('shell.run').first().waitFor();
  const draft = path.join(system.home, 'draft', 'greeter');
  await execute(built('nexusmon-agent'), ['plugin', 'new', draft], at(system.home));
  const checked = JSON.parse((await execute(built('nexusmon-agent'), ['plugin', 'check', draft, '--json'], at(system.home))).stdout);
  const capability = JSON.stringify(checked).match(/greeter\.[a-z_]+/)[0];
  const place = path.join(system.home, 'data/agent/plugins/greeter');
  await execute('mkdir', ['-p', path.dirname(place)]);
  await rename(draft, place);
  // It comes by itself: nobody loads the page again.
  await panel.getByText(capability).first().waitFor();
  await page.goto(`${system.origin}/organism/missions/new`);
  await page.getByRole('textbox', { name: /Plan as YAML/ }).fill(`goal: by a plugin\ntasks:\n  - { id: greet, uses: ${capability}, with: ${JSON.stringify(await example(place))} }\n`);
  await page.getByText('Starts at once').waitFor();
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.waitForURL(/missions\/mis_/);
  const done = await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded', 'failed');
  assert.equal(done.status, 'succeeded', JSON.stringify(done.tasks[0].cause));
  await page.goto(`${system.origin}/organism/agents/${agent.id}`);
  await panel.getByText(capability).first().waitFor();
  await rm(place, { recursive: true });
  await panel.getByText(capability).first().waitFor({ state: 'detached' });
  assert.deepEqual(errors, []);
  await context.close();
});
/** What the plugin that one starts from wants to be told. */
async function example(place) {
  const text = await readFile(path.join(place, 'plugin.py'), 'utf8');
  return Object.fromEntries([...text.matchAll(/params(?:\.get\(|\[)"([a-z_]+)"/g)].map(([, name]) => [name, 'world']));
}

test('what one version of an artifact changed against the one before is seen', async () => {
  const { access_token: token } = await (await fetch(`${system.ready.http}/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ operator_key: system.ready.operator_key }) })).json();
  /** Puts another version into the vault, as a program does. */
  const put = async (name, type, body) => {
    const answer = await fetch(`${system.ready.http}/v1/vault/artifacts?name=${name}`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': type }, body });
    assert.equal(answer.status, 201, await answer.clone().text());
  };
  for (const word of ['before', 'after']) {
    await put('report.md', 'text/markdown', `title\n${word}\nend\n`);
    await put('figures.json', 'application/json', JSON.stringify({ grams: word === 'before' ? 3 : 4, same: true }));
  }
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/vault');
  const open = async (name) => {
    await page.getByRole('main').getByRole('link', { name }).first().click();
    await page.getByRole('region', { name: 'Content' }).waitFor();
    await page.getByRole('button', { name: 'Changes', exact: true }).click();
    await page.waitForURL(/view=diff/);
  };
  await open(/report\.md/);
  const changes = page.getByRole('region', { name: 'Changes' });
  await changes.locator('.gone', { hasText: 'before' }).waitFor();
  await changes.locator('.add', { hasText: 'after' }).waitFor();
  assert.equal(await changes.locator('.same', { hasText: 'title' }).count(), 1);
  await seen(page, 'artifact-changes-desk-dark');
  // The address alone opens the same.
  await page.reload();
  await changes.locator('.add', { hasText: 'after' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('v');
  await open(/figures\.json/);
  await page.getByRole('row', { name: '/grams 3 4' }).waitFor();
  assert.equal(await page.getByRole('row').count(), 2, 'and nothing that stayed');
  await page.setViewportSize(phone.viewport);
  await seen(page, 'artifact-changes-phone-dark');
  assert.deepEqual(errors, []);
  await context.close();
});

test('the exported log is checked by the command line as the page says, and the one byte somebody changed is found', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/audit');
  const take = async (role, name, file) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole(role, { name }).click()]);
    await download.saveAs(path.join(system.home, file));
  };
  await take('button', 'Keep this head', 'head.txt');
  await take('link', 'Export the log', 'log.ndjson');
  const [, verify] = (await page.getByText('nexusmon audit verify').innerText()).split('\n');
  // As a shell reads it: the key stands in quotes.
  const [program, ...args] = verify.match(/'[^']*'|\S+/g).map((each) => each.replaceAll("'", ''));
  const check = (file) => execute(built(program), args.map((each) => (each === 'log.ndjson' ? file : each)), { cwd: system.home, env: { PATH: process.env.PATH, HOME: system.home } });
  assert.match((await check('log.ndjson')).stdout, /^holds: \d+ entries[\s\S]*contains 1 of 1 heads you knew/m);
  const log = await readFile(path.join(system.home, 'log.ndjson'), 'utf8');
  const spoilt = log.replace('"mission.created"', '"mission.creater"');
  assert.notEqual(spoilt, log);
  await writeFile(path.join(system.home, 'spoilt.ndjson'), spoilt);
  await assert.rejects(check('spoilt.ndjson'), /does not hold: entry \d+ \(line \d+\)/);
  assert.deepEqual(errors, []);
  await context.close();
});

test('by keyboard alone: log in, state a goal, deny what would be done without asking', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism', { login: false });
  await page.getByLabel('Operator key').waitFor();
  /** Walks with Tab until what has the focus has this name. */
  const tabTo = async (what) => {
    for (let step = 0; step < 120; step++) {
      // A screen that has just come has the focus as a whole; that is no place of its own.
      const name = await page.evaluate(() => {
        const element = document.activeElement;
        return !element || element.matches('body, main') ? '' : (element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent ?? '').trim();
      });
      if (what.test(name)) return;
      await page.keyboard.press('Tab');
    }
    assert.fail(`no ${what}`);
  };
  await tabTo(/^Operator key/);
  await page.keyboard.insertText(system.ready.operator_key);
  await page.keyboard.press('Enter');
  await page.locator('[data-state=live]').waitFor();
  await page.locator('a.row-link').first().waitFor();
  await page.keyboard.press('n');
  await page.waitForURL(/missions\/new/);
  await page.getByRole('button', { name: 'A goal only' }).waitFor();
  await tabTo(/^A goal only/);
  await page.keyboard.press('Enter');
  await tabTo(/^What do you want done/);
  await page.keyboard.insertText('fold the laundry');
  await tabTo(/^Send$/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/missions\/mis_/);
  await page.getByText(/needs a plan/i).first().waitFor();
  // Grave work of somebody else waits; it is opened from the inbox and denied with a reason.
  const grave = await system.api('POST', '/v1/engine/missions', { goal: 'open the floodgates', tasks: [shell('open', 'id', { sandbox: 'none' })] });
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await page.waitForURL(/approvals/);
  await page.getByText('open the floodgates').first().waitFor();
  await tabTo(/open the floodgates/);
  await page.keyboard.press('Enter');
  await page.waitForURL(new RegExp(grave.approval.id));
  await page.getByText(/If you approve/).waitFor();
  await tabTo(/^Reason/);
  await page.keyboard.insertText('not while it rains');
  await tabTo(/^Deny/);
  await page.keyboard.press('Enter');
  await system.until(grave.id, 'rejected');
  await page.getByText('not while it rains').first().waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('an approval nobody decides in time says so, and offers no more to decide', async () => {
  const grave = await system.api('POST', '/v1/engine/missions', { goal: 'too late', tasks: [shell('late', 'id', { sandbox: 'none' })] });
  const context = await system.browser.newContext(phone);
  const page = await context.newPage();
  // A day is too long to wait: the coordinator's answer is made to end at once, and then to have ended.
  let status = 'pending';
  await page.route(`**/v1/governance/approvals/${grave.approval.id}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), status, decide_by: new Date(Date.now() + (status === 'pending' ? 90_000 : -1000)).toISOString() } });
  });
  await page.goto(`${system.origin}/organism/approve/${grave.approval.id}`);
  await page.getByLabel('Operator key').fill(system.ready.operator_key);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.locator('.clock.hot').waitFor();
  await page.getByRole('button', { name: /^Deny/ }).waitFor();
  status = 'expired';
  await page.reload();
  await page.getByText('Expired', { exact: true }).first().waitFor();
  await page.getByText('nobody decided in time, so nothing runs').waitFor();
  assert.equal(await page.getByRole('button', { name: /Deny|Hold/ }).count(), 0);
  await seen(page, 'approve-expired-phone-light');
  await context.close();
});

/** Halts, sees all three machines obey, and releases; by the hand that is given. */
const HANDS = [
  ['by click', desk, (locator) => locator.click()],
  ['by tap', phone, (locator) => locator.tap()],
  ['by key', desk, async (locator) => {
    await locator.focus();
    await locator.page().keyboard.press('Enter');
  }],
];
for (const [hand, window, act] of HANDS) {
  test(`the kill switch ${hand}: what runs is ended, every machine acknowledges, work goes on after`, async () => {
    const { id } = await system.api('POST', '/v1/engine/missions', { goal: `runs ${hand}`, tasks: [shell('soak', 'sleep 600', { on: { labels: { region: 'edge' } } })] });
    while ((await system.api('GET', `/v1/engine/missions/${id}`)).tasks[0].status !== 'running') await new Promise((resolve) => setTimeout(resolve, 100));
    const context = await system.browser.newContext(window);
    const { page, errors } = await system.open(context, '/organism/missions');
    // Two acts: to the switch, and pull.
    await act(page.getByRole('link', { name: /^Kill switch/ }).first());
    await page.waitForURL(/halt/);
    await act(page.getByRole('button', { name: 'Stop everything' }));
    const agents = page.getByRole('region', { name: 'Agents' });
    for (const name of ['edge-1', 'edge-2']) await agents.getByRole('listitem').filter({ hasText: name }).getByText('Acknowledged').waitFor();
    await agents.getByText('3 acknowledged, 0 not yet, 0 out of reach').waitFor({ state: 'attached' });
    await page.locator('a.bar', { hasText: 'Stopped' }).getByText('3 acknowledged').waitFor();
    await agents.getByText('still running').waitFor({ state: 'detached' });
    assert.equal((await system.api('GET', `/v1/engine/missions/${id}`)).tasks[0].status === 'running', false, 'what ran was ended');
    await page.getByLabel('Why it is safe to go on').fill('it was a drill');
    await page.getByLabel('Operator key').fill(system.ready.operator_key);
    await act(page.getByRole('button', { name: 'Release' }));
    await page.locator('a.bar').waitFor({ state: 'detached' });
    await system.api('POST', `/v1/engine/missions/${id}/cancel`, {});
    const next = await system.api('POST', '/v1/engine/missions', { goal: 'goes on', tasks: [shell('on', 'true')] });
    assert.equal((await system.until(next.id, 'succeeded', 'failed')).status, 'succeeded');
    // What was asked for under the session that the release has replaced may be refused, and is asked for again.
    assert.deepEqual(errors.filter((text) => !text.includes('401')), []);
    await context.close();
  });
}

// Last, since the coordinator goes away.
test('while the coordinator is gone the last known state stays, with its age, and nothing is claimed to be live', async () => {
  const { id } = await system.api('POST', '/v1/engine/missions', { goal: 'seen before it went', tasks: [shell('a', 'echo said before')] });
  await system.until(id, 'succeeded');
  const context = await system.browser.newContext(desk);
  const hand = await system.browser.newContext(phone);
  const { page } = await system.open(context, '/organism/missions');
  const { page: small } = await system.open(hand, `/organism/missions/${id}`);
  // The screen that is opened later is here already; what it shows is not.
  await page.keyboard.press('g');
  await page.keyboard.press('v');
  await page.getByRole('heading', { name: 'Vault', level: 1 }).waitFor();
  await page.goBack();
  await page.getByText('seen before it went').first().waitFor();
  await small.getByRole('heading', { name: 'seen before it went' }).waitFor();
  await system.restart(async () => {
    for (const each of [page, small]) {
      await each.locator('[data-state=offline], [data-state=resync]').waitFor();
      await each.getByText(/^As of .+ The line is down/).first().waitFor();
      await each.getByText('seen before it went').first().waitFor();
      assert.equal(await each.locator('[data-state=live]').count(), 0);
    }
    await seen(page, 'missions-offline-desk-dark');
    await seen(small, 'mission-offline-phone-light');
    // What was not looked at yet says that it cannot be had, and what to do.
    await page.keyboard.press('g');
    await page.keyboard.press('v');
    await page.getByRole('alert').getByText('The coordinator does not answer').waitFor();
    await page.getByRole('button', { name: 'Try again' }).waitFor();
  });
  // It comes back by itself, once the stream does.
  await page.locator('[data-state=live]').waitFor({ timeout: 60_000 });
  await page.getByRole('main').getByRole('link', { name: /report\.md/ }).first().waitFor({ timeout: 60_000 });
  await small.locator('[data-state=live]').waitFor({ timeout: 60_000 });
  await small.getByText(/^As of/).first().waitFor({ state: 'detached' });
  await context.close();
  await hand.close();
});
