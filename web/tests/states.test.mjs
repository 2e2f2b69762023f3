// Every screen while its data is on the way, when there is none yet, when the coordinator fails or refuses, and when the
// line is down: each says what is the matter and what to do, and comes back by itself or by its button.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { settled, sideways, start } from './system.mjs';

const none = (kind) => `${kind}_${'0'.repeat(26)}`;
/** Address, what its place says while it is fetched, and what stands there while there is nothing. */
const SCREENS = [
  ['missions', 'missions', 'No mission yet'],
  ['mission', `missions/${none('mis')}`],
  ['approvals', 'approvals', 'Nothing to decide'],
  ['approval', `approvals/${none('apr')}`],
  ['approve', `approve/${none('apr')}`],
  ['approvals-history', 'approvals/history', 'Nothing was decided yet'],
  ['reviews', 'reviews', 'Nothing to review'],
  ['schedules', 'schedules', 'Nothing starts by the clock'],
  ['webhooks', 'schedules/webhooks', 'Nothing starts by a call from outside'],
  ['events', 'schedules/events', 'Nothing starts by what happens'],
  ['proposals', 'schedules/proposals', 'Nothing is proposed'],
  ['agents', 'agents'],
  ['agent', `agents/${none('agt')}`],
  ['playbooks', 'playbooks', 'No playbook yet'],
  ['playbook', 'playbooks/no-such-one'],
  ['vault', 'vault', 'The vault is empty'],
  ['artifact', `vault/${none('art')}`],
  ['policies', 'governance'],
  ['policies-propose', 'governance/propose', 'Not tried yet'],
  ['flags', 'governance/flags', 'Nothing is switched off'],
  ['rates', 'governance/rates', 'Nothing bounds how often work starts'],
  ['people', 'governance/people'],
  ['tokens', 'governance/tokens', 'No token'],
  ['secrets', 'governance/secrets', 'No secret yet'],
  ['standing', 'governance/standing', 'No standing approval'],
  ['standing-one', `governance/standing/${none('sta')}`],
  ['roster', 'governance/roster', 'Nobody can sign yet'],
  ['audit', 'audit'],
  ['evolution', 'evolution', 'Nothing earned yet'],
  ['cognition', 'cognition', 'No prediction scored yet'],
  ['notifications', 'settings/notifications', 'Nowhere yet'],
];
const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** What the frame around a screen asks for itself: it is not what is tried here. */
const FRAME = /\/v1\/(auth\/|events|me\/|nexusmon\/organism\/status|governance\/halt)/;

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());

/** A page whose screens are answered as the test wants, and the way to them. */
async function pageOf(size) {
  const context = await system.browser.newContext({ viewport: SIZES[size], colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism/companion');
  const shift = (to) => page.evaluate((next) => {
    history.pushState(null, '', next);
    dispatchEvent(new PopStateEvent('popstate'));
  }, `/organism/${to}`);
  let answer = null;
  await page.route('**/v1/**', (route) => (answer && route.request().method() === 'GET' && !FRAME.test(route.request().url()) ? answer(route) : route.fallback()));
  return {
    context,
    page,
    answered: (by) => (answer = by),
    /** A screen of its own, with nothing of the one before. */
    async go(to) {
      await shift('nowhere');
      await page.getByText('There is nothing at this address').waitFor();
      await shift(to);
    },
  };
}
const problem = (status, code, detail) => (route) => route.fulfill({ status, contentType: 'application/problem+json', body: JSON.stringify({ status, code, detail }) });

for (const size of Object.keys(SIZES)) {
  test(`while it is fetched, when that fails, and again: ${size}`, async (t) => {
    const { context, page, answered, go } = await pageOf(size);
    const failure = page.locator('[role=alert]:visible', { hasText: 'That did not work' });
    const fits = async (what) => {
      const wide = await sideways(page);
      assert.ok(wide <= 0, `${what} scrolls sideways by ${wide} pixels`);
    };
    for (const [name, to] of SCREENS) {
      await t.test(name, async () => {
        const held = [];
        answered((route) => held.push(route));
        await go(to);
        // Its place says what is on its way, also to whoever does not see it.
        const place = page.locator('.loading[role=status]:visible').first();
        await place.waitFor();
        assert.match(await place.getAttribute('aria-label'), /^Loading (the )?[a-z]|^Loading what/);
        await fits('loading');
        answered(problem(500, 'internal', 'the disk is full'));
        await Promise.all(held.map((route) => problem(500, 'internal', 'the disk is full')(route)));
        await failure.first().waitFor();
        assert.equal(await page.locator('.loading:visible').count(), 0, 'no place is kept for what did not come');
        for (const each of await failure.all()) {
          assert.match(await each.innerText(), /The disk is full\./, 'what happened');
          assert.ok(await each.getByRole('button', { name: 'Try again' }).isVisible(), 'what to do');
        }
        await fits('a failure');
        answered(null);
        // Each part by its own button (an event may be quicker than a finger); what does not exist then says that.
        await page.evaluate(() => {
          for (const button of document.querySelectorAll('[role=alert] button')) if (button.textContent === 'Try again') button.click();
        });
        await failure.first().waitFor({ state: 'detached', timeout: 10_000 });
        await settled(page);
        await fits('what came');
        if (/0{26}|no-such/.test(to)) {
          await page.getByText(/does not exist|No such agent/).first().waitFor();
          assert.ok((await page.getByRole('main').getByRole('link', { name: /^(To the |All agents)/ }).count()) > 0, 'a way back');
        }
      });
    }
    await context.close();
  });
}

test('what one may not see says so, and who can change that', async (t) => {
  const { context, page, answered, go } = await pageOf('phone');
  answered(problem(403, 'forbidden', 'your role may not read this'));
  for (const [name, to] of SCREENS.filter(([each]) => each !== 'roster')) {
    await t.test(name, async () => {
      await go(to);
      const refusal = page.getByRole('alert').filter({ hasText: 'You may not see' }).first();
      await refusal.getByText('An owner can give you a role that may.').waitFor();
      assert.equal(await refusal.getByRole('button', { name: 'Try again' }).count(), 0, 'trying again would change nothing');
    });
  }
  await context.close();
});

test('where there is nothing yet, it says what belongs there and how it comes', async (t) => {
  const { context, page, go } = await pageOf('phone');
  for (const [name, to, empty] of SCREENS.filter(([, , empty]) => empty)) {
    await t.test(name, async () => {
      await go(to);
      const place = page.locator('.empty', { hasText: empty }).first();
      await place.waitFor();
      const more = (await place.locator('.more').innerText()).trim();
      assert.ok(more.length > 20, `more than that there is nothing: “${more}”`);
      const wide = await sideways(page);
      assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
    });
  }
  await context.close();
});

// Last, since it is made from what the others want absent.
test('while the line is down, every screen says how old it is', async (t) => {
  const task = { id: 'a', uses: 'shell.run', with: { script: 'echo a > a.txt' }, artifacts: ['*.txt'] };
  const { id: mission } = await system.api('POST', '/v1/engine/missions', { goal: 'to be looked at', tasks: [task] });
  await system.until(mission, 'succeeded');
  await system.api('POST', '/v1/engine/playbooks', { name: 'no-such-one', goal: 'x', tasks: [task] });
  const { approval } = await system.api('POST', '/v1/engine/missions', { goal: 'grave', tasks: [{ ...task, sandbox: 'none' }] });
  const there = { mis: mission, apr: approval.id, art: (await system.api('GET', '/v1/vault/artifacts?kind=output')).items[0].id, agt: (await system.api('GET', '/v1/fleet/agents')).items[0].id };
  const context = await system.browser.newContext({ viewport: SIZES.phone, colorScheme: 'dark', reducedMotion: 'reduce' });
  await context.route(/\/v1\/events/, (route) => route.abort());
  const page = await context.newPage();
  await page.goto(`${system.origin}/organism/companion`);
  await page.getByLabel('Operator key').fill(system.ready.operator_key);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.locator('[data-state=offline], [data-state=resync]').first().waitFor();
  for (const [name, to] of SCREENS.filter(([each]) => !['standing-one', 'policies-propose'].includes(each))) {
    await t.test(name, async () => {
      await page.evaluate((next) => {
        history.pushState(null, '', next);
        dispatchEvent(new PopStateEvent('popstate'));
      }, `/organism/${to.replace(/([a-z]{3})_0{26}/, (_, kind) => there[kind])}`);
      await page.locator('.stale:visible', { hasText: /As of .+\. The line is down; this is the last known state\./ }).first().waitFor();
      assert.equal(await page.locator('[data-state=live]').count(), 0, 'nothing claims to be live');
      const wide = await sideways(page);
      assert.ok(wide <= 0, `${name} scrolls sideways by ${wide} pixels`);
    });
  }
  // The line is back: so is the page, without being asked.
  await context.unroute(/\/v1\/events/);
  await page.locator('[data-state=live]').first().waitFor({ timeout: 60_000 });
  await page.getByText(/^As of/).first().waitFor({ state: 'detached' });
  await context.close();
});
