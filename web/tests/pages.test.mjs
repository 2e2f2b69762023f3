// Every screen, in both themes and sizes: no finding of axe, no word in the console, nothing wider than the window.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { AxeBuilder } from '@axe-core/playwright';
import { seed } from './seed.mjs';
import { pictures, settled, sideways, start } from './system.mjs';

const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** Name, address, and what is there once the screen has its data. */
const SCREENS = [
  ['missions', () => '/organism/missions', 'a.row-link'],
  ['missions-empty', () => '/organism/missions?q=nothing+is+called+this', 'text=No mission matches'],
  ['new-mission', () => '/organism/missions/new?sample=count', 'text=Starts at once'],
  ['new-mission-goal', () => '/organism/missions/new?mode=goal', 'textarea[name=goal]'],
  ['new-mission-playbook', () => '/organism/missions/new?playbook=clear@1', '#input-folder'],
  ['playbooks', () => '/organism/playbooks', 'text=removes old backups'],
  ['playbook', () => '/organism/playbooks/clear', 'text=Ask for a standing approval'],
  ['playbook-changes', () => '/organism/playbooks/clear?show=changes', 'text=Changes from 1'],
  ['playbook-write', () => '/organism/playbooks/clear?write=1', 'text=Keep version 3'],
  ['playbook-new', () => '/organism/playbooks?write=1', 'text=Keep it'],
  ['playbook-missing', () => '/organism/playbooks/no-such-one', 'text=does not exist'],
  ['mission', ({ sample }) => `/organism/missions/${sample.id}?tab=graph`, 'svg .node'],
  ['mission-tasks', ({ sample }) => `/organism/missions/${sample.id}?tab=tasks`, '[role=treegrid] [role=row]'],
  ['mission-timeline', ({ sample }) => `/organism/missions/${sample.id}?tab=timeline`, '.lane .run'],
  ['mission-timeline-table', ({ sample }) => `/organism/missions/${sample.id}?tab=timeline&as=table`, 'text=Could start'],
  ['mission-running', ({ running }) => `/organism/missions/${running.id}?tab=log`, '.line .text'],
  ['mission-failed', ({ broken }) => `/organism/missions/${broken.id}?tab=graph`, 'svg .node'],
  ['mission-artifacts', ({ sample }) => `/organism/missions/${sample.id}?tab=artifacts`, 'text=out.csv'],
  ['mission-audit', ({ sample }) => `/organism/missions/${sample.id}?tab=audit`, '.entry'],
  ['mission-missing', () => '/organism/missions/mis_00000000000000000000000000', 'text=does not exist'],
  ['approvals', () => '/organism/approvals', 'text=Roll out chain v3 to the edge'],
  ['approvals-history', () => '/organism/approvals/history', 'text=not today'],
  ['mission-approvals', ({ refused }) => `/organism/missions/${refused.id}?tab=approvals`, 'text=not today'],
  ['approval', ({ apr }) => `/organism/approvals/${apr}`, 'text=What would run'],
  ['approve', ({ apr }) => `/organism/approve/${apr}`, 'text=What would run'],
  ['reviews', () => '/organism/reviews', 'text=Nothing to review'],
  ['schedules', ({ nightly }) => `/organism/schedules?show=${nightly}`, 'text=What it has fired for'],
  ['webhooks', ({ push }) => `/organism/schedules/webhooks?show=${push}`, 'text=What it has fired for'],
  ['events', ({ watch }) => `/organism/schedules/events?show=${watch}`, 'text=What it has fired for'],
  ['proposals', () => '/organism/schedules/proposals', 'text=Waiting for somebody'],
  ['mission-chain', ({ fetched }) => `/organism/missions/${fetched}?tab=chain`, 'text=What the system proposed'],
  ['agents', () => '/organism/agents', 'main .who'],
  ['agent', ({ agt }) => `/organism/agents/${agt}`, 'text=Capabilities'],
  ['invite', () => '/organism/agents?invite=1', 'text=Make the invite'],
  ['vault', () => '/organism/vault', 'text=out.csv'],
  ['artifact', ({ art }) => `/organism/vault/${art}`, '.text .line'],
  ['policies', () => '/organism/governance', 'text=part of every set'],
  ['policies-before', () => '/organism/governance?version=0&show=changes', 'text=What going back would change'],
  ['policies-propose', () => '/organism/governance/propose', 'text=Not tried yet'],
  ['flags', () => '/organism/governance/flags?off=shell.run', 'text=its interpreter is old'],
  ['rates', () => '/organism/governance/rates', 'text=of 3 in 1 h'],
  ['people', () => '/organism/governance/people', 'text=kim'],
  ['tokens', () => '/organism/governance/tokens', 'text=alone up to'],
  ['secrets', () => '/organism/governance/secrets', 'text=no machine has received it'],
  ['secret-new-value', () => '/organism/governance/secrets?set=deploy-key', 'text=Bind it anew'],
  ['standing-none', () => '/organism/governance/standing', 'text=No standing approval'],
  ['roster', () => '/organism/governance/roster', 'text=Nobody can sign yet'],
  ['audit', () => '/organism/audit', 'text=no independent witness'],
  ['audit-entry', () => '/organism/audit?entry=3', 'text=The proof holds'],
  ['evolution', () => '/organism/evolution', '.trait'],
  ['cognition', () => '/organism/cognition', 'text=Brier score'],
  ['companion', () => '/organism/companion', 'text=What needs me?'],
  ['notifications', () => '/organism/settings/notifications', 'text=Keep the channel'],
  ['settings', () => '/organism/settings', 'text=Single keys'],
  ['halt', () => '/organism/halt', 'text=Stop everything'],
  ['nowhere', () => '/organism/nowhere', 'text=There is nothing at this address'],
  ['landing', () => '/landing', 'text=Quick start'],
  ['docs', () => '/docs', 'summary .path'],
];

let system, made;
before(async () => {
  system = await start();
  const seeded = await seed(system);
  await system.api('PUT', '/v1/fleet/flags/script.run', { disabled: true, scope: 'label:region=home', reason: 'its interpreter is old' });
  await system.api('PUT', '/v1/fleet/rates/key:deploys', { most: 3, per: '1h' });
  await system.api('POST', '/v1/governance/principals', { name: 'kim', role: 'approver' });
  await system.api('POST', '/v1/governance/tokens', { name: 'ci', rank_ceiling: 'C' });
  await system.api('PUT', '/v1/governance/secrets/deploy-key', { value: 'short' });
  const clear = (goal) => ({
    name: 'clear', description: 'removes old backups beneath a folder', goal,
    input_schema: { properties: { folder: { type: 'string', pattern: '^/srv/backups/[a-z0-9-]+$', description: 'beneath which to look' }, days: { type: 'integer', minimum: 7, default: 30 }, deep: { type: 'boolean' }, hosts: { type: 'array', items: { type: 'string' } }, more: { type: 'object' } }, required: ['folder'] },
    tasks: [{ id: 'clear', uses: 'shell.run', with: { script: 'echo "$FOLDER" "$DAYS"', env: { FOLDER: '${{ inputs.folder }}', DAYS: '${{ inputs.days }}' } } }],
  });
  await system.api('POST', '/v1/engine/playbooks', clear('tidy ${{ inputs.folder }}'));
  await system.api('PUT', '/v1/engine/playbooks/clear', clear('clear ${{ inputs.folder }}'));
  await system.api('PUT', '/v1/governance/secrets/api-token', { value: 'correct-horse-battery', binding: { hosts: ['api.example.org'], playbooks: ['clear'] } });
  const { text } = await system.api('GET', '/v1/governance/policies');
  await system.api('POST', '/v1/governance/policies', { text: text.replace('rank <= 1', 'rank <= 0'), comment: 'D is looked at afterwards' });
  const refused = await system.api('POST', '/v1/engine/missions', { goal: 'Open egress to the mirror', tasks: [{ id: 'open', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });
  await system.api('POST', `/v1/governance/approvals/${refused.approval.id}/decisions`, { digest: refused.approval.digest, verdict: 'reject', comment: 'not today' });
  const say = { mission: { goal: 'say the time', tasks: [{ id: 'say', uses: 'shell.run', with: { script: 'date' } }] } };
  const nightly = await system.api('POST', '/v1/engine/schedules', { name: 'nightly', cron: '30 3 * * 1-5', time_zone: 'Europe/Berlin', jitter: '5m', ...say });
  await system.api('POST', '/v1/engine/schedules', { name: 'weekly', cron: '@weekly', paused: true, ...say });
  const push = (await system.api('POST', '/v1/engine/webhooks', { name: 'push', format: 'github', events: ['push'], ...say })).webhook;
  const watch = await system.api('POST', '/v1/engine/event-triggers', { name: 'look-after', on: ['mission.failed', 'agent.quarantined'], if: "event.kind != 'mission.failed' || event.mission.origin == 'schedule'", ...say });
  await system.api('POST', '/v1/engine/playbooks', { name: 'fetch', goal: 'fetch the dumps', tasks: [{ id: 'fetch', uses: 'shell.run', with: { script: 'echo 3' } }], then: [{ on: 'succeeded', playbook: 'clear', inputs: { folder: '/srv/backups/web' }, why: 'old dumps make room for new ones' }] });
  const fetched = (await system.api('POST', '/v1/engine/missions', { playbook: 'fetch' })).id;
  while ((await system.api('GET', '/v1/engine/proposals')).items.length === 0) await new Promise((later) => setTimeout(later, 200));
  const first = async (route) => (await system.api('GET', route)).items[0].id;
  made = {
    ...seeded,
    nightly: nightly.id,
    push: push.id,
    watch: watch.id,
    fetched,
    refused,
    apr: await first('/v1/governance/approvals?status=pending'),
    agt: await first('/v1/fleet/agents'),
    art: (await system.api('GET', '/v1/vault/artifacts?kind=output&name=out.csv')).items[0].id,
  };
});
after(() => system?.end());

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['dark', 'light']) {
    test(`every screen, ${size}, ${colorScheme}`, async (t) => {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism');
      for (const [name, address, there] of SCREENS) {
        await t.test(name, async () => {
          const to = address(made);
          // Within the console as one moves in it; that a fresh load opens the same place is the journeys' business.
          if (to.startsWith('/organism')) {
            await page.evaluate((next) => {
              history.pushState(null, '', next);
              dispatchEvent(new PopStateEvent('popstate'));
            }, to);
          } else await page.goto(system.origin + to);
          await page.locator(there).first().waitFor({ timeout: 15_000 });
          await settled(page);
          await page.screenshot({ path: path.join(pictures, `${name}-${size}-${colorScheme}.png`) });
          const wide = await sideways(page);
          assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
          const { violations } = await new AxeBuilder({ page }).analyze();
          const findings = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
          assert.deepEqual(findings, [], name);
          // The screen for what does not exist asks for it, and the browser writes the 404 down; a roster, too, may not exist.
          const said = errors.splice(0).filter((text) => !/mis_0{26}|no-such-one|governance\/roster/.test(text));
          assert.deepEqual(said, [], name);
        });
      }
      await context.close();
    });
  }
}

/** Goes to a screen as one moves in the console, and waits until it has its data. */
async function open(page, address, there) {
  await page.evaluate((next) => {
    history.pushState(null, '', next);
    dispatchEvent(new PopStateEvent('popstate'));
  }, address);
  await page.locator(there).first().waitFor({ timeout: 15_000 });
}
const within = SCREENS.filter(([, address]) => address.toString().includes('/organism'));

test('every screen at the widths between', async () => {
  const context = await system.browser.newContext({ viewport: SIZES.desk, colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism');
  const wrong = {};
  for (const [name, address, there] of within) {
    for (const [size, viewport] of [['tablet', { width: 768, height: 1024 }], ['small', { width: 1024, height: 768 }]]) {
      await page.setViewportSize(viewport);
      await open(page, address(made), there);
      await settled(page);
      await page.screenshot({ path: path.join(pictures, `${name}-${size}-dark.png`) });
      const wide = await sideways(page);
      if (wide > 0) wrong[`${name} at ${viewport.width}`] = wide;
    }
  }
  assert.deepEqual(wrong, {});
  await context.close();
});

test('every screen, with words two fifths longer and accented, at 390 pixels', async () => {
  const context = await system.browser.newContext({ viewport: SIZES.phone, colorScheme: 'light', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism');
  const stretched = (on) => page.evaluate((wanted) => {
    if (wanted) localStorage.setItem('nexusmon.pseudo', '1');
    else localStorage.removeItem('nexusmon.pseudo');
    dispatchEvent(new StorageEvent('storage', { key: 'nexusmon.pseudo', newValue: wanted ? '1' : null }));
  }, on);
  const wrong = {};
  for (const [name, address, there] of within) {
    await open(page, address(made), there);
    await stretched(true);
    await page.locator('nav.tabs a, .bare, main').first().waitFor();
    await page.waitForFunction(() => /[ŕšţñ]/.test(document.body.innerText));
    await page.screenshot({ path: path.join(pictures, `pseudo-${name}-phone-light.png`) });
    const broken = await page.evaluate(() => {
      const found = [];
      for (const box of [document.documentElement, document.querySelector('main')]) {
        const wide = (box?.scrollWidth ?? 0) - (box?.clientWidth ?? 0);
        if (wide > 0) found.push(`${box.tagName.toLowerCase()} scrolls sideways by ${wide}`);
      }
      const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && /[ŕšţñöàé]/.test(node.data));
      for (const element of document.querySelectorAll('body *')) {
        if (!says(element) || !element.checkVisibility({ visibilityProperty: true }) || element.closest('svg, .vh, option')) continue;
        const { left, right, width } = element.getBoundingClientRect();
        if (width <= 1) continue;
        let beside = false;
        for (let box = element; box; box = box.parentElement) {
          const style = getComputedStyle(box);
          // What scrolls sideways by itself, or is cut with dots on purpose, is no break.
          if (/auto|scroll/.test(style.overflowX) && box.tagName !== 'MAIN' && box.scrollWidth > box.clientWidth || style.textOverflow === 'ellipsis') beside = true;
        }
        if (beside) continue;
        const what = `${element.tagName.toLowerCase()}.${element.className} “${element.textContent.trim().slice(0, 40)}”`;
        if (left < -1 || right > innerWidth + 1) found.push(`${what} stands outside: ${Math.round(left)} to ${Math.round(right)}`);
        else if (/hidden|clip/.test(getComputedStyle(element).overflowX) && element.scrollWidth > element.clientWidth + 1) found.push(`${what} is cut`);
        else {
          const around = element.closest('button, .btn, .chip, .win, li, dd, td');
          const edge = around?.getBoundingClientRect();
          if (edge && (right > edge.right + 1 || left < edge.left - 1)) found.push(`${what} sticks out of ${around.tagName.toLowerCase()}.${around.className}`);
        }
      }
      return [...new Set(found)];
    });
    await stretched(false);
    await page.waitForFunction(() => !/[ŕšţñ]/.test(document.querySelector('nav.tabs')?.innerText ?? ''));
    if (broken.length > 0) wrong[name] = broken;
  }
  assert.deepEqual(wrong, {});
  await context.close();
});

test('every screen in forced colours', async () => {
  const context = await system.browser.newContext({ viewport: SIZES.desk, forcedColors: 'active', colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism');
  const wrong = {};
  for (const [name, address, there] of within) {
    await open(page, address(made), there);
    await page.screenshot({ path: path.join(pictures, `forced-${name}-desk.png`) });
    const unseen = await page.evaluate(() => {
      const found = [];
      const nothing = (colour) => /rgba\(.*, 0\)|transparent/.test(colour);
      for (const element of document.querySelectorAll('main button:not(.ghost, .no, .inline, .where), main input, main select, main textarea, main .chip, main .win')) {
        if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.vh')) continue;
        const { borderTopWidth, borderTopColor, borderBottomWidth, borderBottomColor, outlineStyle } = getComputedStyle(element);
        if (/checkbox|radio|file/.test(element.type ?? '')) continue;
        const bound = (parseFloat(borderTopWidth) > 0 && !nothing(borderTopColor)) || (parseFloat(borderBottomWidth) > 0 && !nothing(borderBottomColor)) || outlineStyle !== 'none';
        if (!bound && element.matches('.btn, .input, .win, .chip')) found.push(`${element.tagName.toLowerCase()}.${element.className}: no edge`);
      }
      // What says which one is open or chosen has to say it without a background.
      for (const element of document.querySelectorAll('[aria-current]:not([aria-current=false]), [aria-pressed=true], [aria-selected=true], [aria-checked=true]')) {
        // In a drawing the chosen one has brackets around it.
        if (!element.checkVisibility({ visibilityProperty: true }) || element.querySelector(':scope > .bracket')) continue;
        const like = [...(element.parentElement?.children ?? [])].find((each) => each !== element && each.tagName === element.tagName && each.checkVisibility());
        if (!like) continue;
        const look = (each) => {
          const style = getComputedStyle(each);
          const [before, after] = [getComputedStyle(each, '::before'), getComputedStyle(each, '::after')];
          return [style.color, style.backgroundColor, style.borderTopColor, style.borderTopWidth, style.borderLeftColor, style.borderLeftWidth, style.outlineStyle, style.textDecorationLine, style.boxShadow, before.content, before.backgroundColor, after.content, after.backgroundColor].join(' ');
        };
        if (look(element) === look(like)) found.push(`${element.tagName.toLowerCase()}.${element.className} “${element.textContent.trim().slice(0, 30)}” looks like its neighbour`);
      }
      return [...new Set(found)].slice(0, 12);
    });
    if (unseen.length > 0) wrong[name] = unseen;
  }
  assert.deepEqual(wrong, {});
  await context.close();
});

test('with reduced motion nothing moves, on any screen', async () => {
  const context = await system.browser.newContext({ viewport: SIZES.desk, colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism');
  for (const [name, address, there] of within) {
    await open(page, address(made), there);
    const moving = await page.evaluate(() => document.getAnimations().filter((each) => each.playState === 'running').map((each) => each.animationName ?? each.transitionProperty ?? 'something'));
    assert.deepEqual(moving, [], name);
  }
  await context.close();
});

// Last, since it stops what the others show: pulled, seen on every screen, released with the key, all by keyboard.
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['dark', 'light']) {
    test(`the kill switch, ${size}, ${colorScheme}`, async () => {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism');
      await page.keyboard.press('g');
      await page.keyboard.press('h');
      await page.getByLabel('Reason').fill('a smell of smoke');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.locator('text=Halted').first().waitFor();
      await page.getByRole('button', { name: 'Stop everything' }).press('Enter');
      await page.locator('.bar', { hasText: 'Stopped' }).waitFor();
      await page.locator('li .word', { hasText: 'Acknowledged' }).first().waitFor({ timeout: 15_000 });
      await page.screenshot({ path: path.join(pictures, `halt-pulled-${size}-${colorScheme}.png`) });
      const wide = await sideways(page);
      assert.ok(wide <= 0, `the kill switch scrolls sideways by ${wide} pixels`);
      const { violations } = await new AxeBuilder({ page }).analyze();
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].target}`), []);
      await page.keyboard.press('g');
      await page.keyboard.press('m');
      await page.locator('a.row-link').first().waitFor();
      await page.getByRole('region', { name: 'Kill switch' }).getByText('of 1 machine obeys').waitFor();
      await page.screenshot({ path: path.join(pictures, `missions-halted-${size}-${colorScheme}.png`) });
      const feed = await new AxeBuilder({ page }).analyze();
      assert.deepEqual(feed.violations.map(({ id, nodes }) => `${id}: ${nodes[0].target}`), []);
      await page.locator('.bar', { hasText: 'Stopped' }).press('Enter');
      await page.getByLabel('Why it is safe to go on').fill('it was the toaster');
      await page.getByLabel('Operator key').fill(system.ready.operator_key);
      await page.getByRole('button', { name: 'Release' }).press('Enter');
      await page.locator('text=Nothing is halted').waitFor();
      await page.locator('.bar', { hasText: 'Stopped' }).waitFor({ state: 'detached' });
      // What was asked for under the session that the release has replaced may be refused, and is asked for again.
      assert.deepEqual(errors.filter((text) => !text.includes('401')), []);
      await context.close();
    });
  }
}
