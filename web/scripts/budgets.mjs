// What may be loaded, in KiB of gzip: by the entry, by a screen on top of it, by the landing page, and as style.
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const ENTRY = 90;
const ROUTE = 40;
const LANDING = 25;
const STYLE = 20;
/** Fetched on an act, not on arrival; with budgets of their own. */
const APART = { yaml: 40 };

const IMPORT = /(?:\bimport|\bfrom)\s*["'`]\.\/([\w.-]+\.js)["'`]/g;
const DYNAMIC = /\bimport\(\s*["'`]\.\/([\w.-]+\.js)["'`]\s*\)/g;

export function budgets(dist) {
  const assets = path.join(dist, 'assets');
  const read = (name) => fs.readFileSync(path.join(assets, name), 'utf8');
  const size = (name) => gzipSync(fs.readFileSync(path.join(assets, name)), { level: 9 }).length / 1024;
  const closure = (name, known = new Set()) => {
    if (known.has(name)) return known;
    known.add(name);
    for (const [, next] of read(name).matchAll(IMPORT)) closure(next, known);
    return known;
  };
  const sum = (names) => [...names].reduce((total, name) => total + size(name), 0);
  const linked = (page, pattern) => [...fs.readFileSync(path.join(dist, page), 'utf8').matchAll(pattern)].map((found) => found[1]);
  const SCRIPT = /(?:src|href)="\/assets\/([\w.-]+\.js)"/g;

  const over = [];
  const hold = (what, found, most) => {
    if (found > most) over.push(`${what}: ${found.toFixed(1)} KiB, ${most} allowed`);
  };
  const entry = new Set(linked('organism.html', SCRIPT).flatMap((name) => [...closure(name)]));
  hold('entry', sum(entry), ENTRY);
  hold('landing', sum(new Set(linked('landing.html', SCRIPT).flatMap((name) => [...closure(name)]))), LANDING);
  let largest = ['', 0];
  for (const name of new Set([...entry].flatMap((each) => [...read(each).matchAll(DYNAMIC)].map((found) => found[1])))) {
    const own = [...closure(name)].filter((each) => !entry.has(each));
    const total = sum(own);
    if (total > largest[1]) largest = [name, total];
    hold(`screen ${name}`, total, APART[name.split('-')[0]] ?? ROUTE);
  }
  const style = fs.readdirSync(assets).filter((name) => name.endsWith('.css'));
  hold('style of the entry', sum(linked('organism.html', /href="\/assets\/([\w.-]+\.css)"/g)), STYLE);
  hold('all style', sum(style), STYLE + ROUTE);
  console.log(`web: entry ${sum(entry).toFixed(1)} KiB, largest screen ${largest[0]} ${largest[1].toFixed(1)} KiB`);
  return over;
}
