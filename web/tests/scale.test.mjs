// What must hold however much there is: counts of elements, of connections, of events. How long it takes is measured by
// `npm run bench`, not here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LINES, longFeed, longLog, MISSIONS, overhear, TASKS, wideGraph } from './scale.mjs';
import { seen, start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());
const desk = { viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' };
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'light', reducedMotion: 'reduce', hasTouch: true, isMobile: true };
const quick = (goal) => system.api('POST', '/v1/engine/missions', { goal, tasks: [{ id: 'a', uses: 'shell.run', with: { script: 'true' } }] });

test('a log of a million lines: any line, all of it searched at the coordinator, never more than a screenful here', async () => {
  const made = await longLog(system);
  const address = `/organism/missions/${made.id}?tab=log&task=${made.tasks[0].task_id}`;
  for (const [size, form] of [['desk-dark', desk], ['phone-light', phone]]) {
    const context = await system.browser.newContext(form);
    const { page, errors } = await system.open(context, '/organism/missions');
    const answers = [];
    page.on('response', (answer) => answer.url().includes('/log') && answers.push(answer.body().then((body) => body.length, () => 0)));
    await page.goto(system.origin + address);
    const rows = page.locator('.lines .line');
    const few = async (where) => {
      const found = await rows.count();
      assert.ok(found > 0 && found <= 60, `${found} rows ${where}`);
    };
    const line = (n) => page.getByRole('region', { name: 'Lines' }).getByText(`entry ${n} of the long log`, { exact: true }).first();
    await page.locator('footer', { hasText: '1\u202f000\u202f000 lines' }).waitFor();
    await line(LINES).or(line(1)).waitFor();
    await few('when it opens');
    for (const n of [1, 2, 123_456, 500_000, 777_777, 999_999, LINES]) {
      await page.evaluate((to) => {
        const next = new URL(location.href);
        next.searchParams.set('line', to);
        history.pushState(null, '', next);
        dispatchEvent(new PopStateEvent('popstate'));
      }, String(n));
      await line(n).waitFor();
      await few(`at line ${n}`);
    }
    // The scroll bar and the keys reach both ends.
    const box = page.getByRole('region', { name: 'Lines' });
    await box.evaluate((element) => (element.scrollTop = 0));
    await line(1).waitFor();
    await box.focus();
    await page.keyboard.press('End');
    await line(LINES).waitFor();
    await few('at its end');
    await page.getByLabel('Find in the whole log').fill('entry 876543 of');
    await page.locator('.hit', { hasText: 'entry 876543 of the long log' }).waitFor();
    await few('at what was found');
    await seen(page, `log-million-${size}`);
    const received = (await Promise.all(answers)).reduce((sum, each) => sum + each, 0);
    assert.ok(received > 0 && received < 3_000_000, `${received} bytes of a log of some 30 million`);
    assert.deepEqual(errors, []);
    await context.close();
  }
});

test('a graph of a thousand tasks: at most 250 elements wherever one looks, and every task there', async () => {
  const made = await wideGraph(system);
  const context = await system.browser.newContext(desk);
  const { page, errors } = await system.open(context, `/organism/missions/${made.id}?tab=graph`);
  const graph = page.getByRole('group', { name: `Task graph, ${TASKS} nodes, left to right` });
  await graph.locator('.node').first().waitFor();
  const few = async (where) => {
    const found = await graph.evaluate((svg) => svg.querySelectorAll('*').length);
    assert.ok(found > 25 && found <= 250, `${found} elements ${where}`);
  };
  await few('at first');
  await seen(page, 'graph-thousand-desk-dark');
  await page.getByRole('button', { name: 'Show all' }).click();
  await few('with all of it in sight');
  // Far out every task is a box of its state's colour.
  const boxes = await graph.evaluate((svg) => [...svg.querySelectorAll('.dot')].reduce((sum, path) => sum + path.getAttribute('d').split('M').length - 1, 0));
  assert.equal(boxes, TASKS);
  await seen(page, 'graph-thousand-far-desk-dark');
  for (let step = 0; step < 14; step++) {
    await page.getByRole('button', { name: 'Zoom in' }).click();
    await few(`zoomed in ${step + 1} times`);
  }
  const { x, y, width, height } = await graph.boundingBox();
  for (const [dx, dy] of [[-400, 0], [-300, -200], [500, 150]]) {
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width / 2 + dx, y + height / 2 + dy, { steps: 6 });
    await page.mouse.up();
    await few('while it is moved');
  }
  // The same tasks for the keyboard and for a screen reader.
  await page.goto(`${system.origin}/organism/missions/${made.id}?tab=tasks`);
  await page.getByRole('treegrid').waitFor();
  assert.equal(Number(await page.getByRole('treegrid').getAttribute('aria-rowcount')), TASKS);
  const rows = page.getByRole('treegrid').getByRole('row');
  await rows.first().focus();
  for (let step = 0; step < 80; step++) await page.keyboard.press('ArrowDown');
  await page.waitForFunction(() => Number(document.activeElement?.getAttribute('aria-rowindex')) === 81);
  assert.ok((await rows.count()) <= 60);
  assert.deepEqual(errors, []);
  await context.close();
});

test('a feed of a hundred thousand missions: a screenful of rows, more as one goes, none twice', async () => {
  for (const [size, form] of [['desk-dark', desk], ['phone-light', phone]]) {
    const context = await system.browser.newContext(form);
    const { page, errors } = await system.open(context, '/organism/agents');
    await longFeed(page);
    await page.goto(`${system.origin}/organism/missions`);
    const rows = page.locator('a.row-link');
    await rows.first().waitFor();
    const main = page.locator('main');
    let reached = 0;
    // To the end of what is there, again and again: more of it comes by itself.
    while (reached < 3000) {
      await main.evaluate((element) => (element.scrollTop = element.scrollHeight));
      const shown = () => Number(/([\d\u202f]+) shown/.exec(document.querySelector('.more')?.textContent ?? '')?.[1].replaceAll('\u202f', '') ?? 0);
      await page.waitForFunction((past) => {
        const now = Number(/([\d\u202f]+) shown/.exec(document.querySelector('.more')?.textContent ?? '')?.[1].replaceAll('\u202f', '') ?? 0);
        return now > past;
      }, reached);
      reached = await page.evaluate(shown);
      const found = await rows.count();
      assert.ok(found > 0 && found <= 60, `${found} rows of ${reached}`);
    }
    await main.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    const middle = await page.locator('li[aria-posinset]').evaluateAll((all) => all.map((each) => [Number(each.getAttribute('aria-posinset')), each.querySelector('b').textContent]));
    for (const [place, goal] of middle) assert.equal(goal, `mission ${place - 1}`, 'what stands there is what belongs there');
    await seen(page, `missions-many-${size}`);
    // J and K walk where there was no row before.
    await main.evaluate((element) => (element.scrollTop = 0));
    if (size.startsWith('desk')) {
      for (let step = 0; step < 40; step++) await page.keyboard.press('j');
      await page.waitForFunction(() => document.activeElement?.querySelector('b')?.textContent === 'mission 39');
    }
    assert.ok(reached < MISSIONS);
    assert.deepEqual(errors, []);
    await context.close();
  }
});

test('eight tabs read one stream, and each shows each change once', async () => {
  const context = await system.browser.newContext(desk);
  await overhear(context);
  const streams = [];
  context.on('request', (request) => new URL(request.url()).pathname === '/v1/events' && streams.push(request));
  const tabs = [];
  const complaints = [];
  for (let at = 0; at < 8; at++) {
    const { page, errors } = await system.open(context, '/organism/missions');
    await page.locator('[data-state=live]').waitFor();
    tabs.push(page);
    complaints.push(errors);
  }
  assert.equal(streams.length, 1, 'one stream for all');
  const made = [];
  for (let at = 0; at < 12; at++) made.push((await quick(`tab ${at}`)).id);
  for (const tab of tabs) {
    for (const id of made) {
      const row = tab.locator(`a[href="/organism/missions/${id}"]`);
      await row.waitFor();
      assert.equal(await row.count(), 1);
    }
    // A row may come of a fetch before the stream has told this tab.
    await tab.waitForFunction((last) => globalThis.overheard.some(([, kind, subject]) => kind === 'mission.created' && subject === last), made.at(-1));
    const told = await tab.evaluate(() => globalThis.overheard.filter(([, kind]) => kind === 'mission.created').map(([, , subject]) => subject));
    assert.deepEqual(told.filter((each) => made.includes(each)), made, 'each once, in order');
  }
  assert.equal(streams.length, 1, 'and still one');
  assert.deepEqual(complaints.flat(), []);
  await context.close();
});

test('a coordinator that starts anew under open pages: nothing lost, nothing twice', async () => {
  const context = await system.browser.newContext(desk);
  await overhear(context);
  const tabs = [];
  for (let at = 0; at < 3; at++) {
    const { page } = await system.open(context, '/organism/missions');
    await page.locator('[data-state=live]').waitFor();
    tabs.push(page);
  }
  const before = await quick('before the restart');
  for (const tab of tabs) await tab.locator(`a[href="/organism/missions/${before.id}"]`).waitFor();
  await system.restart();
  const made = [before.id];
  for (let at = 0; at < 5; at++) made.push((await quick(`after the restart ${at}`)).id);
  for (const tab of tabs) {
    await tab.locator('[data-state=live]').waitFor({ timeout: 60_000 });
    for (const id of made) {
      const row = tab.locator(`a[href="/organism/missions/${id}"]`);
      await row.waitFor({ timeout: 60_000 });
      assert.equal(await row.count(), 1);
    }
  }
  // The last of them is settled in every tab, too: the line goes on, not only the list.
  await system.until(made.at(-1), 'succeeded');
  for (const tab of tabs) {
    await tab.locator(`a[href="/organism/missions/${made.at(-1)}"]`, { hasText: 'Succeeded' }).waitFor();
    await tab.waitForFunction((subject) => globalThis.overheard.some((each) => each[2] === subject), made.at(-1));
    const told = await tab.evaluate(() => globalThis.overheard);
    const places = told.map(([seq]) => seq).filter((seq) => seq !== null && seq !== undefined);
    assert.deepEqual(places, [...new Set(places)].sort((a, b) => a - b), 'no event twice or out of turn');
    assert.deepEqual(told.filter(([, kind, subject]) => kind === 'mission.created' && made.includes(subject)).map(([, , subject]) => subject), made, 'none lost');
  }
  await context.close();
});
