// Measures what `scale.test.mjs` counts, in Chromium against the built coordinator: `npm run bench`. Prints the table of
// docs/performance.md. Not a test: how long something takes depends on the machine.
import os from 'node:os';
import { LINES, longFeed, longLog, TASKS, wideGraph } from './scale.mjs';
import { start } from './system.mjs';

const TIMES = Number(process.env.TIMES ?? 7);
const system = await start();
const rows = [];
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
/** `most`: in milliseconds, of all but one in twenty. Where nothing is asked for, there is none. */
function put(what, values, most) {
  const sorted = [...values].sort((a, b) => a - b);
  row(what, ms(at(sorted, 0.5)), ms(at(sorted, 0.95)), most && `95th ≤ ${ms(most)}`, at(sorted, 0.95) <= most);
}
/** Counted, each time; the largest is held against the limit. */
const counted = (what, values, most) => row(what, at([...values].sort((a, b) => a - b), 0.5), Math.max(...values), `≤ ${most}`, Math.max(...values) <= most);
function row(what, median, high, limit, held) {
  rows.push([what, median, high, limit ?? '', limit ? (held ? 'yes' : '**no**') : '']);
  console.error(rows.at(-1).join(' · '));
}
/** Milliseconds from an act in the page until a condition of the page holds, by the page's own clock and frames. */
const until = (page, act, holds) => page.evaluate(async ([doing, done]) => {
  const [begin, there] = [new Function(doing), new Function(`return ${done}`)];
  const began = performance.now();
  begin();
  while (!there()) await new Promise((resolve) => requestAnimationFrame(resolve));
  return performance.now() - began;
}, [act, holds]);
const go = (to) => `history.pushState(null, '', ${JSON.stringify(to)}); dispatchEvent(new PopStateEvent('popstate'))`;

try {
  const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  const { page } = await system.open(context, '/organism/agents');

  const log = await longLog(system);
  const address = `/organism/missions/${log.id}?tab=log&task=${log.tasks[0].task_id}`;
  const text = (n) => `[...document.querySelectorAll('.line .text')].some((each) => each.textContent === 'entry ${n} of the long log')`;
  const opens = [];
  for (let time = 0; time < TIMES; time++) {
    await until(page, go('/organism/agents'), `document.querySelector('main .who')`);
    opens.push(await until(page, go(`${address}&line=${LINES}`), text(LINES)));
  }
  put('a log of 1,000,000 lines opens', opens, 300);
  const [jumps, drawn] = [[], []];
  for (let time = 0; time < 3 * TIMES; time++) {
    const n = 1 + Math.floor((time * 618_033 + 271_828) % (LINES - 1));
    jumps.push(await until(page, go(`${address}&line=${n}`), text(n)));
    drawn.push(await page.locator('.lines .line').count());
  }
  put('any line of it', jumps, 200);
  counted('rows of it that are drawn', drawn, 60);
  const finds = [];
  for (let time = 0; time < TIMES; time++) {
    const n = 900_000 + time * 1111;
    const act = `const field = document.querySelector('.find input'); field.value = 'entry ${n} of'; field.dispatchEvent(new Event('input', { bubbles: true }))`;
    finds.push(await until(page, act, `document.querySelector('.hit .text')?.textContent === 'entry ${n} of the long log'`));
  }
  put('a search over all of it, 250 ms of waiting for the next key included', finds);

  const wide = await wideGraph(system);
  const graphs = [];
  for (let time = 0; time < TIMES; time++) {
    await until(page, go('/organism/agents'), `document.querySelector('main .who')`);
    graphs.push(await until(page, go(`/organism/missions/${wide.id}?tab=graph`), `document.querySelector('svg .node')`));
  }
  put('a graph of 1,000 tasks is drawn, fetched and laid out', graphs);
  // The layout alone, where it is done: in the Worker that the page has.
  const laid = await page.evaluate(async (times) => {
    const Real = Worker;
    const measured = [];
    globalThis.Worker = class extends Real {
      constructor(...given) {
        super(...given);
        this.addEventListener('message', () => this.began && measured.push(performance.now() - this.began));
      }
      postMessage(...given) {
        this.began = performance.now();
        super.postMessage(...given);
      }
    };
    const here = location.pathname + location.search;
    const move = (to) => {
      history.pushState(null, '', to);
      dispatchEvent(new PopStateEvent('popstate'));
    };
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    for (let time = 0; time < times; time++) {
      move('/organism/agents');
      while (!document.querySelector('main .who')) await frame();
      move(here);
      while (measured.length <= time) await frame();
    }
    globalThis.Worker = Real;
    return measured;
  }, TIMES);
  put('its layout, in a Worker', laid, 300);
  // The far view holds all thousand; then near, where it is read.
  await page.locator('svg .node').first().waitFor();
  const pan = () => page.evaluate(async () => {
    const svg = document.querySelector('.canvas svg');
    const box = svg.getBoundingClientRect();
    const send = (kind, x, y) => svg.dispatchEvent(new PointerEvent(kind, { bubbles: true, button: 0, clientX: box.x + x, clientY: box.y + y, pointerId: 1 }));
    const [frames, elements] = [[], []];
    send('pointerdown', 500, 200);
    let before = await new Promise((resolve) => requestAnimationFrame(resolve));
    for (let step = 0; step < 150; step++) {
      send('pointermove', 500 - step * 3, 200 - Math.sin(step / 9) * 60);
      const now = await new Promise((resolve) => requestAnimationFrame(resolve));
      frames.push(now - before);
      before = now;
      elements.push(svg.querySelectorAll('*').length);
    }
    send('pointerup', 50, 200);
    return [frames, elements];
  });
  const [near, nearby] = await pan();
  put('a frame while it is moved, at reading size', near, 33);
  await page.getByRole('button', { name: 'Show all' }).click();
  const [far, everything] = await pan();
  put(`a frame while it is moved, all ${TASKS} in sight`, far, 33);
  counted('elements it is drawn with, near and far', [...nearby, ...everything], 250);

  await page.goto(`${system.origin}/organism/agents`);
  await longFeed(page);
  const feeds = [];
  for (let time = 0; time < TIMES; time++) {
    await until(page, go('/organism/agents'), `document.querySelector('main .who')`);
    feeds.push(await until(page, go('/organism/missions'), `document.querySelector('a.row-link')`));
  }
  put('a feed of 100,000 missions shows its first rows', feeds);
  const held = await page.evaluate(async () => {
    const main = document.querySelector('main');
    const shown = () => Number(/([\d\u202f]+) shown/.exec(document.querySelector('.more')?.textContent ?? '')?.[1].replaceAll('\u202f', '') ?? 0);
    while (shown() < 10_000) {
      main.scrollTop = main.scrollHeight;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    const [frames, elements] = [[], []];
    let before = await new Promise((resolve) => requestAnimationFrame(resolve));
    for (let step = 0; step < 150; step++) {
      main.scrollTop = (main.scrollHeight * ((step * 61) % 150)) / 150;
      const now = await new Promise((resolve) => requestAnimationFrame(resolve));
      frames.push(now - before);
      before = now;
      elements.push(document.querySelectorAll('a.row-link').length);
    }
    return [frames, elements];
  });
  put('a frame while 10,000 fetched missions are scrolled anywhere', held[0], 33);
  counted('rows of it that are drawn', held[1], 60);
  await page.unrouteAll({ behavior: 'ignoreErrors' });

  const streams = [];
  context.on('request', (request) => new URL(request.url()).pathname === '/v1/events' && streams.push(request));
  await page.close();
  const loads = [];
  for (let tab = 0; tab < 8; tab++) {
    const began = performance.now();
    const { page: next } = await system.open(context, '/organism/missions');
    await next.locator('a.row-link').first().waitFor();
    loads.push(performance.now() - began);
    await next.locator('[data-state=live]').waitFor();
  }
  put('each of eight tabs, from its opening to its list', loads, 1000);
  counted('streams of events that the eight read', [streams.length], 1);
  await context.close();
  const cpu = os.cpus()[0]?.model ?? 'unknown';
  console.log(`Chromium ${system.browser.version()}, headless, without a graphics card; ${os.cpus().length} cores, ${cpu}; load ${os.loadavg()[0].toFixed(1)} at the end; ${TIMES} times each.\n`);
  console.log('| What | Median | 95th, or most | Limit | Held |\n|---|---|---|---|---|');
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
} finally {
  await system.end();
}
