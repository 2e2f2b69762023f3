// What the organism knows of itself: memory that is searched and forgotten, beliefs that fall, failures by day.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seenEverywhere, start } from './system.mjs';

let system;
const shell = (goal, script) => ({ goal, tasks: [{ id: 'do', uses: 'shell.run', retry: { max: 0 }, with: { script } }] });
before(async () => {
  system = await start();
  const good = await system.api('POST', '/v1/engine/missions', shell('weigh the parcels', 'printf \'{"grams": 3}\' > $NEXUSMON_OUTPUTS'));
  const bad = await system.api('POST', '/v1/engine/missions', shell('lose the parcels', 'exit 3'));
  await system.until(good.id, 'succeeded');
  await system.until(bad.id, 'failed');
  const believe = (statement, rests_on = []) => system.api('POST', '/v1/cognition/beliefs', { statement, confidence: 0.8, rests_on, evidence: [{ kind: 'mission', id: good.id }] });
  const ground = await believe('the scales are true');
  const above = await believe('no parcel is too heavy', [ground.id]);
  await believe('the lift holds', [above.id]);
  await system.api('POST', `/v1/cognition/beliefs/${ground.id}/revisions`, { status: 'contradicted', comment: 'they were never set' });
  // Learned in the background, behind the audit log.
  for (let held = 0; held < 2; held = (await system.api('GET', '/v1/cognition/memory?q=parcels&kind=mission')).items.length) await new Promise((resolve) => setTimeout(resolve, 200));
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };

test('cognition shows its records as pictures and as tables', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/cognition');
  const graph = page.getByRole('region', { name: 'Asserted beliefs', exact: true });
  await graph.locator('g.fallen').waitFor();
  assert.equal(await graph.locator('g.doubted').count(), 2, 'whatever rests on the fallen one');
  await page.getByRole('region', { name: 'Errors' }).getByText('exit status').waitFor();
  await seenEverywhere(page, 'cognition-graph', 'g.fallen');
  await graph.getByRole('button', { name: 'As a table' }).click();
  await graph.getByText('in doubt').first().waitFor();
  await page.getByRole('region', { name: 'Errors' }).getByRole('button', { name: 'As a table' }).click();
  await seenEverywhere(page, 'cognition-tables', 'text=in doubt');
  assert.deepEqual(errors, []);
  await context.close();
});

test('a belief is asserted with what speaks for it, read with its history, revised and withdrawn', async () => {
  const { id } = await system.api('POST', '/v1/engine/missions', shell('measure the lift', 'true'));
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/cognition');
  await page.getByRole('region', { name: 'Asserted beliefs', exact: true }).getByRole('button', { name: 'Assert' }).press('Enter');
  const form = page.getByRole('region', { name: 'Assert a belief' });
  await form.getByLabel('What is believed').fill('the lift carries a ton');
  await form.getByRole('button', { name: 'Assert it' }).click();
  await form.getByRole('alert').getByText('at least one piece of evidence').waitFor();
  await form.getByLabel('Which one, of evidence 1').fill('mis_00000000000000000000000000');
  await form.getByRole('button', { name: 'Assert it' }).click();
  await form.getByRole('alert').getByText(/Evidence 1: .*there is no mission/).waitFor();
  await seenEverywhere(page, 'belief-asserted', '[aria-label="Assert a belief"] .t-fail');
  await form.getByLabel('Which one, of evidence 1').fill(id);
  await form.getByLabel('Rests on').selectOption({ label: 'the lift holds (80\u202f%)' });
  await form.getByRole('button', { name: 'Assert it' }).click();

  const belief = page.getByRole('region', { name: 'Belief in full' });
  await belief.getByText('the lift carries a ton').first().waitFor();
  const made = new URL(page.url()).searchParams.get('belief');
  assert.deepEqual((await system.api('GET', `/v1/cognition/beliefs/${made}`)).history.map((each) => each.evidence), [[{ kind: 'mission', id, note: null }]]);
  await belief.getByRole('link', { name: 'the lift holds' }).first().click();
  await belief.getByRole('link', { name: 'the lift carries a ton' }).waitFor();
  await page.goBack();
  await belief.getByRole('button', { name: 'Withdraw' }).click();
  await belief.getByRole('button', { name: 'Keep the revision' }).click();
  await belief.getByRole('alert').getByText('evidence or a comment').waitFor();
  await belief.getByLabel('Comment').fill('it was sold');
  await belief.getByRole('button', { name: 'Keep the revision' }).click();
  await belief.getByText('revision 2').waitFor();
  await belief.getByText('it was sold').waitFor();
  assert.equal((await system.api('GET', `/v1/cognition/beliefs/${made}`)).status, 'withdrawn');
  await seenEverywhere(page, 'belief-in-full', '[aria-label="Belief in full"] ol');
  // In the picture they are links, too.
  const node = page.getByRole('link', { name: 'the scales are true (contradicted)' });
  await node.focus();
  await node.press('Enter');
  await belief.getByText('they were never set').first().waitFor();
  // What was refused on purpose, and nothing else.
  assert.deepEqual(errors.filter((each) => !/status of 400 .*\/v1\/cognition\/beliefs$/.test(each)), []);
  await context.close();
});

test('memory is searched by its address, and what is forgotten is gone', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/cognition?q=parcels');
  const memory = page.getByRole('region', { name: 'Memory' });
  const lost = memory.getByRole('listitem').filter({ hasText: 'lose the parcels' });
  await lost.waitFor();
  await memory.getByRole('listitem').filter({ hasText: 'weigh the parcels' }).waitFor();
  await lost.getByRole('button', { name: 'Forget' }).click();
  await lost.waitFor({ state: 'detached' });
  assert.equal((await system.api('GET', '/v1/cognition/memory?q=lose')).items.length, 0);
  await memory.getByRole('searchbox').fill('xylophones');
  await memory.getByText('Nothing remembered has these words').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test('plots are painted in the colours there are, again when those or the window change, and say their days in words', async () => {
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, '/organism/cognition');
  const part = page.getByRole('region', { name: 'Errors' });
  await part.locator('canvas').waitFor();
  /** Waits until the canvas has this colour somewhere, fully. */
  const painted = (colour) => page.waitForFunction((wanted) => {
    const canvas = document.querySelector('[aria-label="Errors"] canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) if (data[at] === wanted[0] && data[at + 1] === wanted[1] && data[at + 2] === wanted[2] && data[at + 3] === 255) return true;
    return false;
  }, colour);
  const token = (name) => page.evaluate((of) => [1, 3, 5].map((at) => parseInt(getComputedStyle(document.documentElement).getPropertyValue(of).trim().slice(at, at + 2), 16)), name);
  const dark = await token('--fail');
  await painted(dark);
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await token('--fail');
  assert.notDeepEqual(light, dark);
  await painted(light);
  await page.emulateMedia({ forcedColors: 'active' });
  const forced = await page.evaluate(() => {
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = 'CanvasText';
    const found = getComputedStyle(probe).color.match(/\d+/g).map(Number);
    probe.remove();
    return found;
  });
  await painted(forced);
  await page.emulateMedia({ forcedColors: 'none' });
  const wide = await part.locator('canvas').evaluate((canvas) => canvas.width);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForFunction((before) => document.querySelector('[aria-label="Errors"] canvas').clientWidth !== before && document.querySelector('[aria-label="Errors"] canvas').getBoundingClientRect().right <= innerWidth, wide);
  await page.setViewportSize(desk.viewport);
  const over = part.locator('.u-over');
  const { width, height } = await over.boundingBox();
  await over.hover({ position: { x: width - 3, y: height / 2 } });
  await part.getByText(/: Exit status 1$/).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
