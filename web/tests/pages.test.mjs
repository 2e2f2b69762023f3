// Every screen, in both themes and sizes: no finding of axe, no word in the console, nothing wider than the window.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { AxeBuilder } from '@axe-core/playwright';
import { seed } from './seed.mjs';
import { pictures, start } from './system.mjs';

const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** Name, address, and what is there once the screen has its data. */
const SCREENS = [
  ['missions', () => '/organism/missions', 'a.row-link'],
  ['missions-empty', () => '/organism/missions?q=nothing+is+called+this', 'text=No mission matches'],
  ['new-mission', () => '/organism/missions/new?sample=count', 'text=Starts at once'],
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
  ['roster', () => '/organism/governance/roster', 'text=Nobody can sign yet'],
  ['audit', () => '/organism/audit', 'text=no independent witness'],
  ['audit-entry', () => '/organism/audit?entry=3', 'text=The proof holds'],
  ['evolution', () => '/organism/evolution', '.trait'],
  ['cognition', () => '/organism/cognition', 'text=Brier score'],
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
  const { text } = await system.api('GET', '/v1/governance/policies');
  await system.api('POST', '/v1/governance/policies', { text: text.replace('rank <= 1', 'rank <= 0'), comment: 'D is looked at afterwards' });
  const refused = await system.api('POST', '/v1/engine/missions', { goal: 'Open egress to the mirror', tasks: [{ id: 'open', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });
  await system.api('POST', `/v1/governance/approvals/${refused.approval.id}/decisions`, { digest: refused.approval.digest, verdict: 'reject', comment: 'not today' });
  const say = { mission: { goal: 'say the time', tasks: [{ id: 'say', uses: 'shell.run', with: { script: 'date' } }] } };
  const nightly = await system.api('POST', '/v1/engine/schedules', { name: 'nightly', cron: '30 3 * * 1-5', time_zone: 'Europe/Berlin', jitter: '5m', ...say });
  await system.api('POST', '/v1/engine/schedules', { name: 'weekly', cron: '@weekly', paused: true, ...say });
  const push = (await system.api('POST', '/v1/engine/webhooks', { name: 'push', format: 'github', events: ['push'], ...say })).webhook;
  const first = async (route) => (await system.api('GET', route)).items[0].id;
  made = {
    ...seeded,
    nightly: nightly.id,
    push: push.id,
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
          await page.screenshot({ path: path.join(pictures, `${name}-${size}-${colorScheme}.png`) });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
          const { violations } = await new AxeBuilder({ page }).analyze();
          const findings = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
          assert.deepEqual(findings, [], name);
          // The screen for what does not exist asks for it, and the browser writes the 404 down; a roster, too, may not exist.
          const said = errors.splice(0).filter((text) => !/mis_0{26}|governance\/roster/.test(text));
          assert.deepEqual(said, [], name);
        });
      }
      await context.close();
    });
  }
}

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
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
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
      assert.deepEqual(errors, []);
      await context.close();
    });
  }
}
