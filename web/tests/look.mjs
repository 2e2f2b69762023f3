// Pictures of given addresses in both themes and sizes: `node tests/look.mjs PATH…` (a path may hold {sample} and so on).
import path from 'node:path';
import { pictures, settled, start } from './system.mjs';
import { seed } from './seed.mjs';

const system = await start();
try {
  const made = await seed(system);
  const approvals = (await system.api('GET', '/v1/governance/approvals?status=pending')).items;
  const artifacts = (await system.api('GET', '/v1/vault/artifacts')).items.filter((each) => each.kind !== 'log');
  const agents = (await system.api('GET', '/v1/fleet/agents')).items;
  const ids = { ...Object.fromEntries(Object.entries(made).map(([name, each]) => [name, each.id])), apr: approvals[0]?.id, art: artifacts[0]?.id, agt: agents[0]?.id };
  for (const [size, viewport] of [['desk', { width: 1440, height: 900 }], ['phone', { width: 390, height: 844 }]]) {
    for (const colorScheme of process.env.THEMES?.split(',') ?? ['dark', 'light']) {
      const context = await system.browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const { page, errors } = await system.open(context, '/organism');
      for (const wanted of process.argv.slice(2)) {
        const route = wanted.replaceAll(/\{(\w+)\}/g, (_, name) => ids[name]);
        await page.goto(system.origin + route);
        await settled(page);
        const file = `look-${wanted.replaceAll(/[^a-z]+/g, '-')}-${size}-${colorScheme}.png`;
        await page.screenshot({ path: path.join(pictures, file) });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) console.log(`${file}: ${wide} too wide`);
      }
      if (errors.length) console.log(size, colorScheme, errors);
      await context.close();
    }
  }
} finally {
  await system.end();
}
