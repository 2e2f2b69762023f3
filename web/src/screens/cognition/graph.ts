// Where asserted beliefs stand in their picture: each above all it rests on, in rows by depth.
import type { AssertedBelief } from '$lib/types';

export interface Placed {
  belief: AssertedBelief;
  x: number;
  y: number;
}
export interface Link {
  from: Placed;
  to: Placed;
  fallen: boolean;
}

export const WIDTH = 190;
export const HEIGHT = 54;
const GAP = 22;
const RISE = 46;

/** Rows from the ground up; what rests on nothing lies lowest. */
export function place(beliefs: readonly AssertedBelief[]): { nodes: Placed[]; links: Link[]; width: number; height: number } {
  const known = new Map(beliefs.map((each) => [each.id, each]));
  const depth = new Map<string, number>();
  const deep = (id: string, seen: Set<string>): number => {
    const held = depth.get(id);
    if (held !== undefined) return held;
    if (seen.has(id)) return 0;
    seen.add(id);
    const grounds = (known.get(id)?.rests_on ?? []).filter((ground) => known.has(ground));
    const found = grounds.length === 0 ? 0 : 1 + Math.max(...grounds.map((ground) => deep(ground, seen)));
    depth.set(id, found);
    return found;
  };
  for (const each of beliefs) deep(each.id, new Set());
  const rows: AssertedBelief[][] = [];
  for (const each of beliefs) (rows[depth.get(each.id) ?? 0] ??= []).push(each);
  const widest = Math.max(1, ...rows.map((row) => row.length));
  const width = widest * (WIDTH + GAP) - GAP;
  const height = Math.max(1, rows.length) * (HEIGHT + RISE) - RISE;
  const placed = new Map<string, Placed>();
  rows.forEach((row, level) => {
    const from = (width - (row.length * (WIDTH + GAP) - GAP)) / 2;
    row.forEach((belief, at) => placed.set(belief.id, { belief, x: from + at * (WIDTH + GAP), y: height - HEIGHT - level * (HEIGHT + RISE) }));
  });
  const nodes = [...placed.values()];
  const links = nodes.flatMap((from) =>
    from.belief.rests_on.flatMap((ground) => {
      const to = placed.get(ground);
      return to ? [{ from, to, fallen: to.belief.status !== 'held' || to.belief.doubted_by !== null }] : [];
    }),
  );
  return { nodes, links, width, height };
}
