// Takes the landing page's pictures from the real console. The test run takes them each time beside its other pictures;
// `npm --prefix web run landing` puts them into the page: then build again.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { seed } from './seed.mjs';
import { start } from './system.mjs';

export async function capture(system, folder) {
  await mkdir(folder, { recursive: true });
  const { sample } = await seed(system);
  const task = (await system.api('GET', `/v1/engine/missions/${sample.id}`)).tasks.find((each) => each.id === 'fetch');
  const taken = [];
  for (const colorScheme of ['dark', 'light']) {
    const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme, reducedMotion: 'reduce' });
    const { page } = await system.open(context, `/organism/missions/${sample.id}?task=${task.task_id}`);
    await page.locator('.line .text').first().waitFor();
    await page.locator('svg .node').first().waitFor();
    taken.push(path.join(folder, `mission-${colorScheme}.jpg`));
    await page.screenshot({ type: 'jpeg', quality: 82, path: taken.at(-1) });
    await context.close();
  }
  return taken;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const system = await start();
  try {
    await capture(system, path.resolve(import.meta.dirname, '../src/landing'));
  } finally {
    await system.end();
  }
}
