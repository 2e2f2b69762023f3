// What has the focus is seen, in each theme: measured in pictures of it with and without the focus, not in a stylesheet.
// And what is said in passing covers nothing on a phone.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { seed } from './seed.mjs';
import { pictures, settled, start } from './system.mjs';

let system, made, judge;
before(async () => {
  system = await start();
  made = await seed(system);
  made.apr = (await system.api('GET', '/v1/governance/approvals?status=pending')).items[0].id;
  judge = await system.browser.newPage();
});
after(() => system?.end());

const SCREENS = [
  ['missions', () => '/organism/missions', 'a.row-link'],
  ['mission', () => `/organism/missions/${made.sample.id}?tab=graph`, 'svg .node'],
  ['new-mission', () => '/organism/missions/new?sample=count', 'text=Starts at once'],
  ['approval', () => `/organism/approvals/${made.apr}`, 'text=What would run'],
  ['evolution', () => '/organism/evolution', '.trait'],
  ['settings', () => '/organism/settings', 'text=Single keys'],
];
const THEMES = [['dark', { colorScheme: 'dark' }], ['light', { colorScheme: 'light' }], ['forced', { colorScheme: 'dark', forcedColors: 'active' }]];

/** Pixels that stand out from what they were by three to one, and how many stand out at all. */
const changed = (one, other) => judge.evaluate(async (pictures) => {
  const [left, right] = await Promise.all(pictures.map(async (bytes) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${bytes}`)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  }));
  const light = (of, at) => [0.2126, 0.7152, 0.0722].reduce((sum, share, channel) => {
    const value = of[at + channel] / 255;
    return sum + share * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  let clear = 0;
  for (let at = 0; at < left.length; at += 4) {
    const [a, b] = [light(left, at), light(right, at)];
    if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) >= 3) clear += 1;
  }
  return clear;
}, [one, other].map((bytes) => bytes.toString('base64')));

/** Where the focus is, with room around it for a ring, and as long as its edge is in sight. */
const place = (page) => page.evaluate(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  // A field within a label, a hidden box beside what stands for it: the ring may be around the whole.
  const { x, y, width, height } = element.getBoundingClientRect();
  const [left, top, right, bottom] = [Math.max(0, x - 7), Math.max(0, y - 7), Math.min(innerWidth, x + width + 7), Math.min(innerHeight, y + height + 7)];
  const name = (element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent ?? '').trim().slice(0, 60);
  const first = !element.hasAttribute('data-focus-seen');
  element.setAttribute('data-focus-seen', '');
  return { what: `${element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''} “${name}”`, first, clip: { x: left, y: top, width: right - left, height: bottom - top }, edge: 2 * (Math.min(width, right - left) + Math.min(height, bottom - top)) };
});

for (const [theme, look] of THEMES) {
  test(`what has the focus is seen: ${theme}`, async () => {
    const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', ...look });
    const { page } = await system.open(context, '/organism/missions');
    const wrong = [];
    let stops = 0;
    for (const [name, address, there] of SCREENS) {
      await page.goto(system.origin + address());
      await page.locator(there).first().waitFor();
      await settled(page);
      for (let step = 0; step < 70; step++) {
        await page.keyboard.press('Tab');
        const now = await place(page);
        if (!now) continue;
        if (!now.first) break;
        const focused = await page.screenshot({ clip: now.clip, caret: 'hide' });
        await page.evaluate(() => {
          globalThis.left = document.activeElement;
          globalThis.left.blur();
        });
        const bare = await page.screenshot({ clip: now.clip, caret: 'hide' });
        await page.evaluate(() => globalThis.left.focus({ preventScroll: true }));
        stops += 1;
        const clear = await changed(focused, bare);
        // A ring one pixel wide, at the least, around half of it: the rest may be cut where it touches the edge of the window.
        if (clear < now.edge / 2) wrong.push(`${name}: ${now.what} changes ${clear} pixels of an edge of ${Math.round(now.edge)}`);
      }
      await page.screenshot({ path: path.join(pictures, `focus-${name}-${theme}.png`) });
    }
    assert.deepEqual(wrong, []);
    assert.ok(stops > 100, `${stops} stops`);
    await context.close();
  });
}

test('what is said in passing covers nothing on a phone, and moves nothing under a finger', async () => {
  const context = await system.browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce', hasTouch: true, isMobile: true });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const { page } = await system.open(context, `/organism/missions/${made.sample.id}?tab=tasks`);
  const box = async (locator) => (await locator.boundingBox()) ?? assert.fail('it is not in sight');
  const toast = page.getByRole('status').locator('p');
  await page.getByRole('button', { name: /^Copy the mission/ }).first().tap();
  await toast.getByText('Copied').waitFor();
  const said = await box(toast);
  for (const [what, locator] of [['the bar', page.locator('header.top')], ['the title', page.locator('h1')], ['the tabs', page.getByRole('navigation', { name: 'Primary' })]]) {
    const other = await box(locator);
    assert.ok(said.y >= other.y + other.height - 1 || other.y >= said.y + said.height - 1, `it covers ${what}`);
  }
  await page.screenshot({ path: path.join(pictures, 'toast-phone-dark.png') });
  await page.getByRole('button', { name: 'Dismiss' }).tap();
  await toast.waitFor({ state: 'detached' });
  await context.close();
});
