// Takes the landing page's pictures from the real console: `node tests/landing.mjs`, then build again.
import path from 'node:path';
import { seed } from './seed.mjs';
import { start } from './system.mjs';

const system = await start();
try {
  const { sample } = await seed(system);
  const task = (await system.api('GET', `/v1/engine/missions/${sample.id}`)).tasks.find((each) => each.id === 'fetch');
  for (const colorScheme of ['dark', 'light']) {
    const context = await system.browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme, reducedMotion: 'reduce' });
    const { page } = await system.open(context, `/organism/missions/${sample.id}?task=${task.task_id}`);
    await page.locator('.line .text').first().waitFor();
    await page.locator('svg .node').first().waitFor();
    await page.screenshot({ type: 'jpeg', quality: 82, path: path.resolve(import.meta.dirname, `../src/landing/mission-${colorScheme}.jpg`) });
    await context.close();
  }
} finally {
  await system.end();
}
