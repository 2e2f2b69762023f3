// What changed between two texts, line by line: the longest common subsequence, bounded.

export interface LineChange {
  kind: 'same' | 'add' | 'gone';
  /** Place in the older and in the newer text, from 1. */
  before: number | null;
  after: number | null;
  text: string;
}

/** More cells than this are not compared: everything then counts as replaced. */
const MOST_CELLS = 4_000_000;

export function lineChanges(older: string, newer: string): LineChange[] {
  const a = older.split('\n');
  const b = newer.split('\n');
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const from = a.slice(head, a.length - tail);
  const to = b.slice(head, b.length - tail);
  const changes: LineChange[] = [];
  const same = (at: number, other: number) => changes.push({ kind: 'same', before: at + 1, after: other + 1, text: a[at] ?? '' });
  const gone = (at: number) => changes.push({ kind: 'gone', before: at + 1, after: null, text: a[at] ?? '' });
  const add = (at: number) => changes.push({ kind: 'add', before: null, after: at + 1, text: b[at] ?? '' });
  for (let at = 0; at < head; at++) same(at, at);
  if (from.length * to.length > MOST_CELLS) {
    from.forEach((_, at) => gone(head + at));
    to.forEach((_, at) => add(head + at));
  } else {
    // longest[i][j]: how many lines from[i..] and to[j..] have in common.
    const width = to.length + 1;
    const longest = new Uint32Array((from.length + 1) * width);
    const cell = (i: number, j: number) => longest[i * width + j] ?? 0;
    for (let i = from.length - 1; i >= 0; i--)
      for (let j = to.length - 1; j >= 0; j--) longest[i * width + j] = from[i] === to[j] ? cell(i + 1, j + 1) + 1 : Math.max(cell(i + 1, j), cell(i, j + 1));
    let [i, j] = [0, 0];
    while (i < from.length || j < to.length) {
      if (i < from.length && j < to.length && from[i] === to[j]) same(head + i++, head + j++);
      else if (i < from.length && (j >= to.length || cell(i + 1, j) >= cell(i, j + 1))) gone(head + i++);
      else add(head + j++);
    }
  }
  for (let at = 0; at < tail; at++) same(a.length - tail + at, b.length - tail + at);
  return changes;
}

/** The changes with a few lines around each; `null` stands for what is left out. */
export function around(changes: readonly LineChange[], lines = 3): (LineChange | null)[] {
  const kept = new Set<number>();
  changes.forEach((change, at) => {
    if (change.kind !== 'same') for (let near = at - lines; near <= at + lines; near++) kept.add(near);
  });
  const shown: (LineChange | null)[] = [];
  changes.forEach((change, at) => {
    if (kept.has(at)) shown.push(change);
    else if (shown.length > 0 && shown.at(-1) !== null) shown.push(null);
  });
  if (shown.at(-1) === null) shown.pop();
  return shown;
}
