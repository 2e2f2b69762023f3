// The same journeys by other hands: without a pointer, and with a finger at 390 pixels.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { authenticator, seen, start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce', hasTouch: true, isMobile: true };

/** Walks with Tab until what has the focus fits; everything on the way has a visible focus and a name. */
async function tabTo(page, what, most = 120) {
  for (let step = 0; step < most; step++) {
    await page.keyboard.press('Tab');
    const now = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const { outlineStyle, outlineWidth, boxShadow, stroke } = getComputedStyle(element);
      const around = element.parentElement ? getComputedStyle(element.parentElement).outlineStyle : 'none';
      return {
        tag: element.tagName.toLowerCase(),
        name: (element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent ?? '').trim().slice(0, 120),
        seen: (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || around !== 'none' || boxShadow !== 'none' || (element instanceof SVGElement && stroke !== 'none') || element.matches('svg *, main'),
      };
    });
    if (!now) continue;
    assert.ok(now.seen, `one sees where one is: ${now.tag} “${now.name}”`);
    if (what.test(now.name)) return now;
  }
  assert.fail(`no ${what} within ${most} steps`);
}

test('by keyboard alone: invite a machine', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('g');
  await page.keyboard.press('w');
  await page.waitForURL(/agents$/);
  await page.locator('main .who').first().waitFor();
  await tabTo(page, /^Invite a machine/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, /^Name/);
  await page.keyboard.type('edge-2');
  await tabTo(page, /^Make the invite/);
  await page.keyboard.press('Enter');
  await page.getByText(/^nexusmon-agent join nxj1\./).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(errors, []);
  await context.close();
});

test('by keyboard alone: write a mission, watch it, read its log, take its artifact, look at what it earned', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/missions');
  await page.keyboard.press('n');
  await page.waitForURL(/missions\/new/);
  await tabTo(page, /^Plan as YAML/);
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText('goal: by keyboard\ntasks:\n  - id: make\n    uses: shell.run\n    with: { script: "echo made it; seq 40 > out.csv" }\n    artifacts: ["*.csv"]\n  - { id: check, uses: shell.run, needs: [make], with: { script: "echo checked" } }\n');
  await page.getByText('Starts at once').waitFor();
  await tabTo(page, /^Send$/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/missions\/mis_/);
  const { id } = await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded');
  // Along the graph with the arrows.
  for (const name of ['make', 'check']) await page.locator(`.node[aria-label^="${name}, Succeeded"]`).waitFor();
  await tabTo(page, /^(make|check), Succeeded/);
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label')?.startsWith('make'));
  await page.keyboard.press('Enter');
  await page.getByRole('region', { name: 'Lines' }).getByText('made it', { exact: true }).waitFor();
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label')?.startsWith('check'));
  // The views of the mission by number, then its artifact.
  await page.getByRole('tab', { name: /Artifacts/ }).locator('kbd').innerText().then((number) => page.keyboard.press(number));
  await page.waitForURL(/tab=artifacts/);
  await page.getByRole('region', { name: 'Artifacts', exact: true }).getByRole('link', { name: 'out.csv', exact: true }).waitFor();
  await tabTo(page, /^out\.csv/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/vault\/art_/);
  await page.getByRole('link', { name: 'Download v1' }).waitFor();
  await tabTo(page, /^Download v1/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
  assert.equal(download.suggestedFilename(), 'out.csv');
  await page.keyboard.press('g');
  await page.keyboard.press('e');
  await page.waitForURL(/evolution/);
  await page.getByRole('region', { name: 'XP ledger' }).getByRole('link', { name: id.slice(-6) }).waitFor();
  await tabTo(page, /^RECALL|^R.?ECALL/i);
  await page.keyboard.press('Enter');
  await page.waitForURL(/trait=recall/i);
  await page.getByRole('region', { name: /^Trait recall/i }).waitFor();
  await tabTo(page, /As a table/);
  await page.keyboard.press('Enter');
  await page.getByRole('region', { name: 'Traits, table' }).getByText('May read its memory').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('by keyboard alone: a trait is switched off and on again', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/evolution?trait=recall');
  const panel = page.getByRole('region', { name: /^Trait recall/i });
  await panel.waitFor();
  await tabTo(page, /^Switch off$/);
  await page.keyboard.press('Enter');
  await panel.getByText('Disabled', { exact: true }).waitFor();
  await tabTo(page, /^Let it again$/);
  await page.keyboard.press('Enter');
  await panel.getByRole('button', { name: 'Switch off' }).waitFor();
  const { traits } = await system.api('GET', '/v1/nexusmon/evolution');
  assert.notEqual(traits.find((each) => each.trait.toLowerCase() === 'recall').state, 'disabled');
  assert.deepEqual(errors, []);
  await context.close();
});

test('by finger at 390 pixels: a goal alone, a plan, its log and artifact, the organism', async () => {
  const context = await system.browser.newContext(phone);
  const { page, errors } = await system.open(context, '/organism/missions');
  /** Whatever is touched is large enough for a finger. */
  const touch = async (locator) => {
    const { height, width } = await locator.boundingBox();
    assert.ok(height >= 43.5 || width >= 200, `${Math.round(width)} × ${Math.round(height)}: ${await locator.innerText()}`);
    await locator.tap();
  };
  await touch(page.getByRole('link', { name: /New mission/ }).first());
  await touch(page.getByRole('button', { name: 'A goal only' }));
  await page.getByLabel('What do you want done?').fill('tidy the attic');
  await touch(page.getByRole('button', { name: 'Send', exact: true }));
  await page.waitForURL(/missions\/mis_/);
  await page.getByText(/needs a plan/i).first().waitFor();
  await seen(page, 'walk-goal-phone-dark');
  // Whoever knows a plan writes it there; what is wrong with it stands at its line.
  const own = page.getByRole('region', { name: 'Write its plan' });
  await own.getByRole('textbox', { name: /^Its tasks/ }).fill('tasks:\n  - { id: tidy, uses: no.such, with: {} }\n');
  await touch(own.getByRole('button', { name: 'Give it this plan' }));
  await own.getByRole('button', { name: 'line 2' }).waitFor();
  assert.deepEqual(errors.splice(0).filter((text) => !text.includes('400')), []);
  await own.getByRole('textbox', { name: /^Its tasks/ }).fill('tasks:\n  - { id: tidy, uses: shell.run, with: { script: "echo tidied" } }\n');
  await touch(own.getByRole('button', { name: 'Give it this plan' }));
  assert.equal((await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded', 'failed')).status, 'succeeded');
  await touch(page.getByRole('navigation', { name: 'Primary' }).getByRole('link', { name: 'Missions' }));
  await touch(page.getByRole('link', { name: /New mission/ }).first());
  await touch(page.getByRole('button', { name: 'A plan' }));
  await page.getByRole('textbox', { name: /Plan as YAML/ }).fill('goal: by finger\ntasks:\n  - { id: make, uses: shell.run, with: { script: "echo made it; seq 40 > out.csv" }, artifacts: ["*.csv"] }\n');
  await page.getByText('Starts at once').waitFor();
  await touch(page.getByRole('button', { name: 'Send', exact: true }));
  await page.waitForURL(/missions\/mis_/);
  await system.until(/mis_\w+/.exec(page.url())[0], 'succeeded');
  await touch(page.getByRole('tab', { name: /^Log/ }));
  await page.getByRole('region', { name: 'Lines' }).getByText('made it', { exact: true }).waitFor();
  await seen(page, 'walk-log-phone-dark');
  await touch(page.getByRole('tab', { name: /^Artifacts/ }));
  await page.getByRole('link', { name: 'out.csv', exact: true }).tap();
  await page.getByRole('region', { name: 'Content' }).locator('.line', { hasText: /^37$/ }).waitFor();
  await touch(page.getByRole('navigation', { name: 'Primary' }).getByRole('link', { name: 'Organism' }));
  await page.locator('.trait').first().waitFor();
  await seen(page, 'walk-organism-phone-dark');
  assert.deepEqual(errors, []);
  await context.close();
});

test('by finger: grave work is read, signed with a passkey by holding, and runs', async () => {
  const context = await system.browser.newContext(phone);
  const { page, errors } = await system.open(context, '/organism/settings');
  await authenticator(page);
  await page.getByLabel(/Name of a new one/).fill('this phone');
  await page.getByRole('button', { name: 'Make a passkey' }).tap();
  await page.getByRole('region', { name: 'Passkeys' }).getByText('this phone', { exact: true }).waitFor();
  await system.command('key', 'make');
  const me = await system.api('GET', '/v1/auth/me');
  const { items } = await system.api('GET', '/v1/auth/passkeys');
  await system.command('roster', 'add', me.id, '--passkey', items[0].key);
  const mission = await system.api('POST', '/v1/engine/missions', { goal: 'from the phone', tasks: [{ id: 'who', uses: 'shell.run', sandbox: 'none', with: { script: 'id' } }] });
  await page.clock.install();
  await page.goto(`${system.origin}/organism/approve/${mission.approval.id}`);
  await page.getByText(/If you approve, who runs/).waitFor();
  await page.getByLabel(/Reason/).fill('read it, fine');
  const hold = page.getByRole('button', { name: /Hold 2 s to sign/ });
  const { x, y, width, height } = await hold.boundingBox();
  assert.ok(height >= 44);
  // Letting go too early decides nothing. How long it is held, the test says: the page's time stands still but for that.
  await page.clock.pauseAt(Date.now() + 5000);
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.down();
  await page.clock.runFor(1000);
  await page.getByText('Keep holding…').waitFor();
  await page.mouse.up();
  await hold.waitFor();
  assert.equal((await system.api('GET', `/v1/governance/approvals/${mission.approval.id}`)).status, 'pending');
  await page.mouse.down();
  await page.clock.runFor(2100);
  await page.clock.resume();
  await page.getByText('Approved', { exact: true }).first().waitFor();
  await page.mouse.up();
  assert.equal((await system.until(mission.id, 'succeeded', 'failed')).status, 'succeeded');
  assert.deepEqual(errors, []);
  await context.close();
});
