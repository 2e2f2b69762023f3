// Days in UTC, as records count them, and what a plot of them needs.
const DAY = 86_400_000;
const named = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** `2026-11-23` as `23 Nov`. */
export const dayName = (day: string): string => (day ? named.format(new Date(`${day}T00:00:00Z`)) : '');

/** So many days, oldest first, the last of them given. */
export const daysTo = (last: string, amount: number): string[] =>
  Array.from({ length: amount }, (_, at) => new Date(Date.parse(`${last}T00:00:00Z`) - (amount - 1 - at) * DAY).toISOString().slice(0, 10));

/** Parts that stand on each other: each with all that is below it. */
export function heaped(parts: readonly (readonly number[])[], days: number): number[][] {
  let below: number[] = Array.from({ length: days }, () => 0);
  return parts.map((values) => (below = below.map((sum, at) => sum + (values[at] ?? 0))));
}

/** The days that are named below so many pixels: whole weeks back from the last. */
export function weeksBack(days: number, width: number): number[] {
  const most = Math.max(1, Math.floor(width / 72));
  const step = 7 * Math.max(1, Math.ceil(days / 7 / most));
  return Array.from({ length: Math.ceil(days / step) }, (_, at) => days - 1 - at * step).reverse();
}
