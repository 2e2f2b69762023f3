// What may be loaded, in KiB of gzip: by each page, by a screen or a part of one on top of the console, and as style by every
// one of them.
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
/** What is fetched with a dynamic import: places in a table at the head of the same file. */
const FETCHED = /\bimport\(\s*["'`]\.\/([\w.-]+\.js)["'`]\s*\)\s*,\s*__vite__mapDeps\(\[([\d,\s]*)\]\)/g;
const TABLE = /m\.f\s*=\s*\[([^\]]*)\]/;

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
  const scripts = (page) => new Set(linked(page, SCRIPT).flatMap((name) => [...closure(name)]));
  const styles = (page) => new Set(linked(page, /href="\/assets\/([\w.-]+\.css)"/g));
  const entry = scripts('organism.html');
  for (const [page, most] of [['organism', ENTRY], ['landing', LANDING], ['docs', ENTRY]]) {
    hold(`script of ${page}`, sum(scripts(`${page}.html`)), most);
    hold(`style of ${page}`, sum(styles(`${page}.html`)), STYLE);
  }
  // Screens, and what they fetch in turn: each with the console around it, which is there already.
  const around = styles('organism.html');
  const parts = new Map();
  const waiting = [...entry];
  for (const seen = new Set(waiting); waiting.length > 0; ) {
    const text = read(waiting.pop());
    const table = [...(TABLE.exec(text)?.[1] ?? '').matchAll(/["'`]assets\/([\w.-]+)["'`]/g)].map((found) => found[1]);
    const css = new Map([...text.matchAll(FETCHED)].map(([, name, places]) => [name, places.split(',').map((place) => table[Number(place)] ?? '').filter((each) => each.endsWith('.css'))]));
    for (const [, name] of text.matchAll(DYNAMIC)) {
      parts.set(name, new Set([...(parts.get(name) ?? []), ...(css.get(name) ?? [])]));
      for (const each of closure(name)) {
        if (seen.has(each)) continue;
        seen.add(each);
        waiting.push(each);
      }
    }
  }
  let largest = ['', 0];
  let widest = ['', 0];
  for (const [name, css] of parts) {
    const total = sum([...closure(name)].filter((each) => !entry.has(each)));
    const style = sum(new Set([...around, ...css]));
    if (total > largest[1] && !APART[name.split('-')[0]]) largest = [name, total];
    if (style > widest[1]) widest = [name, style];
    hold(`screen ${name}`, total, APART[name.split('-')[0]] ?? ROUTE);
    hold(`style of screen ${name}`, style, STYLE);
  }
  // That styles of screens were found at all: else the table has another form, and nothing above was held.
  if (widest[1] <= sum(around)) over.push('no screen has a style of its own: the budgets do not understand what the build wrote');
  hold('all style', sum(fs.readdirSync(assets).filter((name) => name.endsWith('.css'))), STYLE + ROUTE);
  console.log(`web: entry ${sum(entry).toFixed(1)} KiB, largest screen ${largest[0]} ${largest[1].toFixed(1)} KiB, most style ${widest[0]} ${widest[1].toFixed(1)} KiB`);
  return over;
}
