// Builds the console into dist/, unless what is there was built from exactly these sources: an unchanged dist keeps the
// coordinator from being compiled again.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';
import { budgets } from './budgets.mjs';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');
const stampFile = path.join(dist, 'stamp');

function* files(folder) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* files(full);
    else yield full;
  }
}

function stamp() {
  const hash = createHash('sha256');
  const single = ['package-lock.json', 'vite.config.ts', 'svelte.config.js', 'organism.html', 'landing.html', 'docs.html'];
  const scripts = [...files(path.join(root, 'scripts'))];
  const sources = [...files(path.join(root, 'src')), ...files(path.join(root, 'public'))].filter((file) => !file.endsWith('.test.ts'));
  for (const file of [...single.map((name) => path.join(root, name)), ...scripts, ...sources]) {
    hash.update(path.relative(root, file)).update('\0').update(fs.readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

const wanted = stamp();
const fresh = fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === wanted;
if (fresh && !process.argv.includes('--force')) {
  console.log('web: dist is what these sources make');
} else {
  await build({ root, logLevel: 'warn' });
  // Compressed once, here: the coordinator only hands out bytes.
  for (const file of [...files(path.join(dist, 'assets'))]) {
    if (!/\.(js|css|svg)$/.test(file)) continue;
    const bytes = fs.readFileSync(file);
    fs.writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
    fs.writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  }
  fs.writeFileSync(path.join(dist, '.keep'), '');
  fs.writeFileSync(stampFile, wanted);
}
const over = budgets(dist);
if (over.length > 0) {
  console.error(over.join('\n'));
  process.exit(1);
}
