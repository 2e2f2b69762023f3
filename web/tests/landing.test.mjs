// The public page: real pictures of the console, nothing from elsewhere, nothing kept, little script.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import path from 'node:path';
import { capture } from './landing.mjs';
import { pictures, seen, start } from './system.mjs';

let system;
before(async () => {
  system = await start();
});
after(() => system?.end());

test('its pictures are of the console as it is: they are taken again, and are of the size the page has', async () => {
  const taken = await capture(system, pictures);
  const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  for (const file of taken) {
    // Beside what the page shows: `test-results/pages` holds both, for whoever looks; `npm --prefix web run landing` puts them in.
    assert.match(path.basename(file), /^mission-(dark|light)\.jpg$/);
  }
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.goto(`${system.origin}/landing`);
    const image = page.locator('picture img');
    await image.evaluate((element) => element.decode());
    const shown = await image.evaluate((element) => [element.currentSrc, element.naturalWidth, element.naturalHeight]);
    assert.match(shown[0], new RegExp(`mission-${colorScheme}`));
    assert.deepEqual(shown.slice(1), [1440, 900]);
  }
  await context.close();
});

test('it asks nobody else, keeps nothing, and its script is small', async () => {
  const context = await system.browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  const page = await context.newPage();
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  const asked = [];
  const scripts = [];
  const answered = (answer) => {
    asked.push(new URL(answer.url()).origin);
    if (/javascript/.test(answer.headers()['content-type'] ?? '')) scripts.push(answer.body().then((body) => gzipSync(body).length));
  };
  page.on('response', answered);
  await page.goto(`${system.origin}/landing`, { waitUntil: 'networkidle' });
  page.off('response', answered);
  assert.deepEqual([...new Set(asked)], [system.origin]);
  const script = (await Promise.all(scripts)).reduce((sum, each) => sum + each, 0);
  assert.ok(script > 0 && script <= 25 * 1024, `${script} bytes of script`);
  assert.deepEqual(await context.cookies(), []);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
  await seen(page, 'landing-alone-phone-dark');
  await page.getByRole('link', { name: 'Quick start' }).click();
  await page.getByText('make run').waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
