// What tries to be more than text, wherever the API takes text from people, programs and machines: on every screen it is
// shown, and does nothing. What is too large or no name is refused in words, which are as inert.
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { settled, sideways, start } from './system.mjs';

const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** What an injected part of a page would have on it. */
const HTML = '<i data-owned>gnp.exe</i><img src=x data-owned onerror="globalThis.owned=1"><svg data-owned onload="globalThis.owned=1"></svg>';
const CLOSING = '</title></textarea></style><style data-owned>main{display:none!important}</style><script data-owned>globalThis.owned=1</script>';
const LINKS = '<a data-owned href="javascript:globalThis.owned=1">x</a> [x](javascript:globalThis.owned=1) javascript:globalThis.owned=1';
const TEMPLATES = '{{7*7}} {@html owned} <%= 7*7 %> #{7*7}';
/** Reordered, isolated, hidden, coloured, titled, linked, and letters of another alphabet that look like ours. */
const MARKS = '\u202Egnp.exe\u202C \u2066left\u2069 \u200Bzero\u200Dwidth\uFEFF \u{E0041} \u001B[31mred\u001B]8;;https://elsewhere.invalid\u0007x\u001B[2J раураl';
const NASTY = `gnp.exe ${MARKS} ${HTML} ${LINKS} ${TEMPLATES} ${CLOSING} ${'W'.repeat(900)}`;
/** The same for where controls are refused or room is short. */
const BRIEF = '\u202Egnp.exe\u2066 <i data-owned>b</i><img src=x data-owned onerror="globalThis.owned=1">';
const MEGABYTE = 1024 * 1024;

const shell = (id, script, more = {}) => ({ id, uses: 'shell.run', retry: { max: 0 }, with: { script }, ...more });
/** Writes any bytes from a script, whatever a shell would make of them. */
const said = (text) => `printf '%b' '${[...Buffer.from(text)].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('')}'`;

let system, made;
before(async () => {
  system = await start();
  const create = (mission) => system.api('POST', '/v1/engine/missions', mission);
  const files = ['<img src=x data-owned onerror=globalThis.owned=1>gnp.exe.html', 'evil\u202Egnp.exe', `${'n'.repeat(200)}.svg`, 'javascript:globalThis.owned=1', '{{7*7}} gnp.exe.json'];
  const sample = await create({
    goal: NASTY, labels: { team: BRIEF }, metadata: { [BRIEF]: NASTY },
    tasks: [
      shell('say', [
        said(`${NASTY}\n`),
        `${said(`${NASTY} on stderr\n`)} >&2`,
        // One line of a megabyte, and what comes after it.
        `head -c ${MEGABYTE} /dev/zero | tr '\\0' W; echo`,
        ...files.map((name) => `name=$(${said(name)}); ${said(name.endsWith('json') ? JSON.stringify({ [NASTY]: [NASTY] }) : `${name}\n${NASTY}\n`)} > "./$name"`),
        `${said(JSON.stringify({ [BRIEF]: NASTY, gone: null }))} > "$NEXUSMON_OUTPUTS"`,
        said(`${NASTY} at the end\n`),
      ].join('\n'), { artifacts: ['*'] }),
      shell('after', 'true', { needs: ['say'] }),
    ],
  });
  const failed = await create({ goal: NASTY, tasks: [shell('fail', `${said(`${NASTY}\n`)} >&2; exit 3`)] });
  const grave = (more) => create({ goal: NASTY, tasks: [shell('who', `${NASTY}\n${'#'.repeat(400_000)}`, { sandbox: 'none', with: { script: `${NASTY}\n${'#'.repeat(400_000)}`, env: { NASTY } } })], ...more });
  const waiting = await grave({});
  const refused = await grave({ labels: { team: BRIEF } });
  await system.api('POST', `/v1/governance/approvals/${refused.approval.id}/decisions`, { digest: refused.approval.digest, verdict: 'reject', comment: NASTY.slice(0, 900) });
  const reviewed = await create({ goal: NASTY, rank: 'C', tasks: [shell('look', 'true')] });
  const unplanned = await create({ goal: NASTY });
  await system.api('POST', '/v1/engine/playbooks', {
    name: 'odd', description: NASTY, goal: NASTY.replace('{{7*7}}', ''),
    input_schema: { properties: { [BRIEF]: { type: 'string', title: BRIEF, description: NASTY, enum: [BRIEF, 'b'] }, folder: { type: 'string', default: BRIEF, description: NASTY } } },
    tasks: [shell('look', `: '${NASTY}'`)], then: [{ on: 'succeeded', playbook: 'odd', inputs: { folder: 'b' }, why: BRIEF }],
  });
  await system.api('PUT', '/v1/engine/playbooks/odd', { name: 'odd', description: `${NASTY}.`, goal: NASTY.replace('{{7*7}}', ''), tasks: [shell('look', 'true')], then: [{ on: 'succeeded', playbook: 'odd', inputs: {}, why: BRIEF }] });
  const chained = await create({ playbook: 'odd' });
  const say = { mission: { goal: NASTY, tasks: [shell('say', 'true')] } };
  const clock = await system.api('POST', '/v1/engine/schedules', { name: 'nightly', cron: '30 3 * * 1-5', time_zone: 'Europe/Berlin', ...say });
  const hook = (await system.api('POST', '/v1/engine/webhooks', { name: 'push', format: 'github', events: [BRIEF], ...say })).webhook;
  const watch = await system.api('POST', '/v1/engine/event-triggers', { name: 'look-after', on: ['mission.failed'], if: `event.kind == '${HTML}gnp.exe'`, ...say });
  await system.api('PUT', '/v1/fleet/flags/script.run', { disabled: true, scope: `label:region=${BRIEF}`, reason: NASTY.slice(0, 900) });
  await system.api('PUT', `/v1/fleet/rates/${encodeURIComponent(`key:${BRIEF}`)}`, { most: 3, per: '1h' });
  const { text } = await system.api('GET', '/v1/governance/policies');
  await system.api('POST', '/v1/governance/policies', { text: `// ${MARKS} ${HTML}\n@id("${BRIEF.replaceAll('"', "'")}")\nforbid (principal, action == Action::"run_unattended", resource) when { context.rank > 4 };\n${text}`, comment: NASTY.slice(0, 900) });
  await system.api('POST', '/v1/cognition/beliefs', { statement: NASTY.slice(0, 900), confidence: 0.8, rests_on: [], evidence: [{ kind: 'mission', id: sample.id, note: BRIEF }] });
  await system.api('POST', '/v1/me/filters', { name: BRIEF.slice(0, 60), query: `q=${encodeURIComponent(BRIEF)}` }).catch(() => {});
  const [agent] = (await system.api('GET', '/v1/fleet/agents')).items;
  await system.api('PATCH', `/v1/fleet/agents/${agent.id}`, { labels: { region: BRIEF } });
  await plugin('odd');
  await system.until(sample.id, 'succeeded', 'failed');
  await system.until(failed.id, 'failed');
  const proposals = () => system.api('GET', '/v1/engine/proposals').then(({ items }) => items.length > 0);
  const learned = () => system.api('GET', '/v1/cognition/memory?q=gnp&kind=mission').then(({ items }) => items.length > 0);
  const offered = () => system.api('GET', `/v1/fleet/agents/${agent.id}`).then(({ capabilities }) => capabilities.includes('odd.say'));
  for (const there of [proposals, learned, offered]) while (!(await there())) await new Promise((resolve) => setTimeout(resolve, 200));
  const art = async (part) => (await system.api('GET', '/v1/vault/artifacts?kind=output&limit=100')).items.find(({ name }) => name.includes(part)).id;
  const page = await art('.html');
  await system.api('POST', `/v1/vault/artifacts/${page}/reviews`, { verdict: 'reject', comment: NASTY });
  await system.api('PUT', '/v1/nexusmon/traits/COMPANION', { action: 'grant', until: new Date(Date.now() + 3_600_000).toISOString(), comment: BRIEF });
  const entry = (await system.api('GET', `/v1/governance/audit?mission=${sample.id}&action=mission.created`)).items[0].seq;
  made = { entry, sample, failed, waiting, refused, reviewed, unplanned, chained, clock, hook, watch, agent, page, json: await art('.json'), reordered: await art('evil'), long: await art('nnn') };
});
after(() => system?.end());

/** Drops a plugin into the folder of the agent, whose words about itself are not to be believed. */
async function plugin(name) {
  const folder = path.join(system.home, 'plugin', name);
  await mkdir(folder, { recursive: true });
  const manifest = { name, version: '1.0.0', capabilities: [{ name: `${name}.say`, description: NASTY.slice(0, 900), risk_level: 'E', requires_approval: false, effects: {}, params: { type: 'object', description: BRIEF } }] };
  await writeFile(path.join(folder, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(path.join(folder, 'plugin.py'), 'import json, sys\nmanifest = json.load(open("manifest.json"))\nfor line in sys.stdin:\n    asked = json.loads(line)\n    if "id" in asked:\n        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": manifest if asked["method"] == "initialize" else {}}), flush=True)\n    if asked["method"] == "shutdown":\n        break\n');
  await writeFile(path.join(folder, 'plugin.toml'), 'command = ["python3", "plugin.py"]\n');
  await mkdir(path.join(system.home, 'data/agent/plugins'), { recursive: true });
  // At once and whole.
  await rename(folder, path.join(system.home, 'data/agent/plugins', name));
}

/** Name, address, what is there once the screen has its data, and whether it shows what was written there. */
const SCREENS = [
  ['missions', () => '/organism/missions', 'a.row-link'],
  ['missions-asked', () => `/organism/missions?q=${encodeURIComponent(`zzz ${BRIEF}`)}`, 'text=No mission matches', false],
  ['new-mission', () => `/organism/missions/new?mode=goal&goal=${encodeURIComponent(NASTY)}`, 'textarea[name=goal]', false],
  ['new-mission-playbook', () => '/organism/missions/new?playbook=odd@1', '#input-folder'],
  ['playbooks', () => '/organism/playbooks', 'main .about'],
  ['playbook', () => '/organism/playbooks/odd?version=1', 'text=Ask for a standing approval'],
  ['playbook-changes', () => '/organism/playbooks/odd?show=changes', 'text=Changes from 1'],
  ['playbook-write', () => '/organism/playbooks/odd?write=1', 'text=Keep version 3', false],
  ['mission', ({ sample }) => `/organism/missions/${sample.id}?tab=graph`, 'svg .node'],
  ['mission-task', ({ sample }) => `/organism/missions/${sample.id}?task=${sample.tasks[0].task_id}`, 'section[aria-label^="Task "]'],
  ['mission-tasks', ({ sample }) => `/organism/missions/${sample.id}?tab=tasks`, '[role=treegrid] [role=row]'],
  ['mission-timeline', ({ sample }) => `/organism/missions/${sample.id}?tab=timeline&as=table`, 'text=Could start'],
  ['mission-log', ({ sample }) => `/organism/missions/${sample.id}?tab=log&task=${sample.tasks[0].task_id}`, '.line .text >> text=gnp.exe'],
  ['mission-artifacts', ({ sample }) => `/organism/missions/${sample.id}?tab=artifacts`, 'text=evil'],
  ['mission-audit', ({ sample }) => `/organism/missions/${sample.id}?tab=audit`, '.entry'],
  ['mission-failed', ({ failed }) => `/organism/missions/${failed.id}?tab=log`, '.line .text >> text=gnp.exe'],
  ['mission-unplanned', ({ unplanned }) => `/organism/missions/${unplanned.id}`, 'text=/needs a plan/i'],
  ['mission-approvals', ({ refused }) => `/organism/missions/${refused.id}?tab=approvals`, 'text=Rejected'],
  ['mission-chain', ({ chained }) => `/organism/missions/${chained.id}?tab=chain`, 'text=What the system proposed'],
  ['approvals', () => '/organism/approvals', 'main a >> text=gnp.exe'],
  ['approvals-history', () => '/organism/approvals/history', 'main >> text=gnp.exe'],
  ['approval', ({ waiting }) => `/organism/approvals/${waiting.approval.id}`, 'text=What would run'],
  ['approve', ({ waiting }) => `/organism/approve/${waiting.approval.id}`, 'text=What would run'],
  ['reviews', () => '/organism/reviews', 'main li'],
  ['schedules', ({ clock }) => `/organism/schedules?show=${clock.id}`, 'text=What it has fired for'],
  ['webhooks', ({ hook }) => `/organism/schedules/webhooks?show=${hook.id}`, 'text=What it has fired for'],
  ['events', ({ watch }) => `/organism/schedules/events?show=${watch.id}`, 'text=What it has fired for'],
  ['proposals', () => '/organism/schedules/proposals', 'main li'],
  ['agents', () => '/organism/agents', 'main .who', false],
  ['agents-asked', () => `/organism/agents?q=${encodeURIComponent(BRIEF.slice(1, 8))}`, 'main .who', false],
  ['agent', ({ agent }) => `/organism/agents/${agent.id}`, 'section[aria-label^="Agent "] >> text=odd.say'],
  ['vault', () => '/organism/vault', 'main >> text=evil'],
  ['vault-asked', () => `/organism/vault?q=${encodeURIComponent('gnp.exe')}`, 'main a >> text=evil'],
  ['artifact-page', ({ page }) => `/organism/vault/${page}`, '.text .line'],
  ['artifact-json', ({ json }) => `/organism/vault/${json}`, '.text .line'],
  ['artifact-reordered', ({ reordered }) => `/organism/vault/${reordered}`, '.text .line'],
  ['artifact-long', ({ long }) => `/organism/vault/${long}`, '.text .line'],
  ['policies', () => '/organism/governance', 'text=part of every set'],
  ['policies-text', () => '/organism/governance?show=text', 'main >> text=gnp.exe'],
  ['policies-before', () => '/organism/governance?version=0&show=changes', 'text=What going back would change'],
  ['policies-propose', () => '/organism/governance/propose', 'text=Not tried yet', false],
  ['flags', () => '/organism/governance/flags', 'main >> text=gnp.exe'],
  ['rates', () => '/organism/governance/rates', 'text=of 3 in 1 h'],
  ['audit', () => '/organism/audit', '.entry', false],
  ['audit-entry', ({ entry }) => `/organism/audit?entry=${entry}`, 'text=The proof holds'],
  ['audit-asked', () => `/organism/audit?action=${encodeURIComponent(BRIEF)}&subject=${encodeURIComponent(BRIEF)}`, 'text=no independent witness', false],
  ['evolution', () => '/organism/evolution?trait=companion', '.trait', false],
  ['cognition', () => '/organism/cognition?q=gnp', 'text=Brier score'],
  ['nowhere', () => `/organism/${encodeURIComponent(BRIEF)}`, 'text=There is nothing at this address'],
  ['nowhere-template', () => '/organism/%3Ci%20data-owned%3Egnp.exe%3C%2Fi%3E%7B%7B7*7%7D%7D', 'text=There is nothing at this address'],
  // These show no text but names, which are of few letters: nothing of it may come there by another way either.
  ...['settings', 'settings/notifications', 'governance/people', 'governance/tokens', 'governance/secrets', 'governance/standing', 'governance/roster', 'companion', 'halt'].map((each) => [each.replace('/', '-'), () => `/organism/${each}`, 'main h1, main h2', false]),
];

/** A page that notes whatever is more than text: what breaks the policy, asks elsewhere, opens a dialog, or ran. */
async function watched(size) {
  const context = await system.browser.newContext({ viewport: SIZES[size], colorScheme: size === 'desk' ? 'dark' : 'light', reducedMotion: 'reduce' });
  const noted = [];
  await context.exposeFunction('noted', (what) => noted.push(what));
  await context.addInitScript(() => addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => globalThis.noted(`against the policy: ${violatedDirective} ${blockedURI}`)));
  context.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (origin !== system.origin && !['blob:', 'data:'].includes(protocol)) noted.push(`asked elsewhere: ${request.url()}`);
  });
  context.on('page', (page) => page.on('dialog', (dialog) => {
    noted.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  }));
  const { page, errors } = await system.open(context, '/organism/missions');
  return { context, page, noted, errors };
}

/** What on the page is more than text, or reads otherwise than it is written. */
const findings = (page) => page.evaluate(() => {
  // Marks that reorder what follows, and characters that nobody sees.
  const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/u;
  const found = [];
  if (globalThis.owned !== undefined) found.push('a script of it ran');
  for (const element of document.querySelectorAll('[data-owned], script:not([src]), img[src="x"], [href^="javascript:" i], [src^="javascript:" i], [onerror], [onload], base, iframe, object, embed')) found.push(`it is an element: ${element.outerHTML.slice(0, 120)}`);
  for (const link of document.querySelectorAll('a[href]')) if (new URL(link.getAttribute('href'), location.href).origin !== location.origin) found.push(`a link elsewhere: ${link.getAttribute('href')}`);
  if (unseen.test(document.title)) found.push(`unseen in the title: ${JSON.stringify(document.title)}`);
  const where = (element) => `${element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''}`;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) if (unseen.test(node.data.replaceAll('_\u200b', '_')) && !node.parentElement.closest('style, textarea')) found.push(`unseen in ${where(node.parentElement)}: ${JSON.stringify(node.data.slice(0, 80))}`);
  for (const element of document.querySelectorAll('body *')) for (const { name, value } of element.attributes) if (/^(title|alt|placeholder|label|aria-(label|description|valuetext|roledescription))$/.test(name) && unseen.test(value)) found.push(`unseen in ${where(element)}[${name}]: ${JSON.stringify(value.slice(0, 80))}`);
  return [...new Set(found)];
});

test('no screen is left out', async () => {
  const routes = await readFile(path.join(import.meta.dirname, '../src/lib/routes.ts'), 'utf8');
  const patterns = [...routes.matchAll(/\[one\(['`](.+?)['`]\)/g)].map(([, pattern]) => pattern);
  assert.ok(patterns.length > 30, `${patterns.length} routes`);
  const paths = SCREENS.map(([, address]) => address(made).replace(/\?.*/, '').replace('/organism', ''));
  const left = patterns.filter((pattern) => !paths.some((each) => new RegExp(`^${pattern.replace('${ID}', '[a-z]{3}_[0-9a-z]{26}').replace('${NAME}', '[A-Za-z0-9][A-Za-z0-9_.-]{0,63}')}$`).test(each)));
  // One standing approval: without somebody who signs there is none, and it is of names and digests.
  assert.deepEqual(left, ['/governance/standing/${ID}']);
});

for (const size of Object.keys(SIZES)) {
  test(`on every screen it is text and nothing else: ${size}`, async (t) => {
    const { context, page, noted, errors } = await watched(size);
    for (const [name, address, there, shows = true] of SCREENS) {
      await t.test(name, async () => {
        await page.evaluate((next) => {
          history.pushState(null, '', next);
          dispatchEvent(new PopStateEvent('popstate'));
        }, address(made));
        await page.locator(there).first().waitFor({ timeout: 6000 });
        await settled(page);
        if (shows) await page.waitForFunction(() => document.body.textContent.includes('gnp.exe'), null, { timeout: 6000 });
        assert.deepEqual(await findings(page), [], name);
        const wide = await sideways(page);
        assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
        assert.deepEqual(noted.splice(0), [], name);
        assert.deepEqual(errors.splice(0).filter((text) => !/governance\/roster/.test(text)), [], name);
      });
    }
    await context.close();
  });
}

test('what is no name, or too large, is refused in words that are as inert', async (t) => {
  const { context, page, noted, errors } = await watched('phone');
  const alert = (words) => page.locator('[role=alert], [role=status], main').filter({ hasText: words }).first();
  const go = (address) => page.goto(system.origin + address);
  const forms = [
    ['a person', async () => {
      await go('/organism/governance/people');
      await page.getByLabel('Name').fill(BRIEF);
      await page.getByRole('button', { name: 'Let in' }).click();
      await alert('is not a name').waitFor();
    }],
    ['a token', async () => {
      await go('/organism/governance/tokens');
      const name = page.getByLabel('Name');
      await name.fill('k'.repeat(MEGABYTE));
      assert.ok((await name.inputValue()).length <= 64, 'a field takes no more than a name has');
      await name.fill(BRIEF.slice(0, 40));
      await page.getByRole('radio', { name: 'Rank C' }).click();
      await page.getByRole('button', { name: 'Make it' }).click();
      await alert('is not a name').waitFor();
    }],
    ['a machine', async () => {
      await go('/organism/agents?invite=1');
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Name', { exact: true }).fill(BRIEF);
      await dialog.getByRole('button', { name: 'Make the invite' }).click();
      await page.getByText(/is not a name/).first().waitFor();
    }],
    ['a playbook', async () => {
      await go('/organism/playbooks?write=1');
      await page.getByRole('textbox', { name: 'Playbook as YAML or JSON' }).fill(`name: ${JSON.stringify(BRIEF)}\ngoal: x\ntasks:\n  - { id: a, uses: shell.run, with: { script: "true" } }\n`);
      await page.getByRole('button', { name: 'Keep it' }).click();
      await page.getByRole('list', { name: 'What is wrong' }).getByText(/is not a name/).first().waitFor();
    }],
    ['a task', async () => {
      await go('/organism/missions/new');
      await page.getByRole('textbox', { name: /Plan as YAML/ }).fill(`goal: x\ntasks:\n  - { id: ${JSON.stringify(BRIEF)}, uses: ${JSON.stringify(BRIEF)}, with: { script: "true" } }\n`);
      await page.getByRole('list', { name: 'What is wrong' }).getByText(/is not a name/).first().waitFor();
    }],
    ['a goal of a megabyte', async () => {
      await go('/organism/missions/new?mode=goal');
      // As one pastes it: typed by the test it would take as long as by hand.
      await page.getByLabel('What do you want done?').evaluate((field, text) => {
        field.value = text;
        field.dispatchEvent(new InputEvent('input', { bubbles: true }));
      }, `gnp.exe ${'G'.repeat(MEGABYTE)}`);
      await page.getByRole('button', { name: 'Send', exact: true }).click();
      await page.getByText(/bytes are more than 16384/).first().waitFor();
    }],
  ];
  for (const [name, refuse] of forms) {
    await t.test(name, async () => {
      await refuse();
      assert.deepEqual(await findings(page), [], name);
      const wide = await sideways(page);
      assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
      assert.deepEqual(noted.splice(0), [], name);
      assert.deepEqual(errors.splice(0).filter((text) => !/40[09]|413|422|governance\/roster/.test(text)), [], name);
    });
  }
  await context.close();
});

test('what was asked of the companion and why everything was halted is text, too', async () => {
  const { context, page, noted, errors } = await watched('phone');
  const inert = async (what) => {
    assert.deepEqual(await findings(page), [], what);
    const wide = await sideways(page);
    assert.ok(wide <= 0, `${what} scrolls sideways by ${wide} pixels`);
    assert.deepEqual(noted.splice(0), [], what);
  };
  await page.goto(`${system.origin}/organism/companion`);
  await page.getByLabel('Your question').fill(`why did ${NASTY.slice(0, 900)} fail?`);
  await page.getByLabel('Your question').press('Enter');
  await page.getByRole('log').getByText('gnp.exe').first().waitFor();
  await inert('a question');
  await page.getByLabel('Your question').fill('why did gnp.exe fail?');
  await page.getByLabel('Your question').press('Enter');
  await page.getByRole('log').getByRole('link', { name: /gnp\.exe/ }).first().waitFor({ timeout: 8000 });
  await inert('companion');
  await system.api('POST', '/v1/governance/halt', { level: 'halt', reason: NASTY.slice(0, 900) });
  await page.goto(`${system.origin}/organism/halt`);
  await page.getByText('gnp.exe').first().waitFor();
  await inert('halt');
  await page.goto(`${system.origin}/organism/missions`);
  await page.locator('.bar', { hasText: 'gnp.exe' }).waitFor();
  await inert('the bar');
  assert.deepEqual(errors, []);
  await context.close();
});

test('content is handed out as a file, in a page that may do nothing', async () => {
  for (const each of [made.page, made.long, made.json]) {
    const login = await fetch(`${system.ready.http}/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ operator_key: system.ready.operator_key }) });
    const { access_token } = await login.json();
    const answer = await fetch(`${system.ready.http}/v1/vault/artifacts/${each}/content`, { headers: { authorization: `Bearer ${access_token}` } });
    assert.match(answer.headers.get('content-disposition'), /^attachment/);
    assert.match(answer.headers.get('content-security-policy'), /sandbox/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  }
});
