// What the ledger adds up to, entry by entry, for the picture and for the table beside it.
export interface Entry {
  seq: number;
  at: string;
  xp: number;
}
export interface Step {
  at: number;
  total: number;
}

/** Totals after each entry, oldest first. The newest entry ends at `now`: of a ledger read in part the beginning is not known. */
export function steps(entries: readonly Entry[], total: number): Step[] {
  let after = total;
  const made: Step[] = [];
  for (const entry of [...entries].sort((a, b) => b.seq - a.seq)) {
    made.push({ at: Date.parse(entry.at), total: after });
    after -= entry.xp;
  }
  return made.reverse();
}

/** What there was before the first entry that is known. */
export const before = (entries: readonly Entry[], total: number): number => entries.reduce((sum, entry) => sum - entry.xp, total);

/** By day, newest first: what was gained and what was taken back. */
export function days(entries: readonly Entry[]): { day: string; gained: number; taken: number; entries: number }[] {
  const found = new Map<string, { day: string; gained: number; taken: number; entries: number }>();
  for (const { at, xp } of entries) {
    const day = at.slice(0, 10);
    const sum = found.get(day) ?? { day, gained: 0, taken: 0, entries: 0 };
    found.set(day, { day, gained: sum.gained + Math.max(0, xp), taken: sum.taken + Math.min(0, xp), entries: sum.entries + 1 });
  }
  return [...found.values()].sort((a, b) => b.day.localeCompare(a.day));
}
