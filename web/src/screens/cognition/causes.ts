// What failed by cause and by day, as the parts of a plot.
import type { ErrorTaxonomy } from '$lib/types';
import type { Part } from '$ui/DayBars.svelte';

/** More colours than these nobody tells apart. */
const TONES = ['fail', 'wait', 'block', 'accent'];

/** The most frequent causes, each with its days; all others together. */
export function causes(errors: ErrorTaxonomy, days: readonly string[], named: (cause: string) => string): Part[] {
  const place = new Map(days.map((day, at) => [day, at]));
  const own = errors.by_cause.length > TONES.length + 1 ? errors.by_cause.slice(0, TONES.length) : errors.by_cause;
  const parts = own.map(({ name }, at) => ({ cause: name, name: named(name), tone: TONES[at] ?? 'queue', values: days.map(() => 0) }));
  const rest = { cause: '', name: `${errors.by_cause.length - own.length} other causes`, tone: 'queue', values: days.map(() => 0) };
  for (const { day, cause, count } of errors.by_day) {
    const at = place.get(day);
    if (at === undefined) continue;
    const part = parts.find((each) => each.cause === cause) ?? rest;
    part.values[at] = (part.values[at] ?? 0) + count;
  }
  return [...parts, ...(own.length < errors.by_cause.length ? [rest] : [])].map(({ name, tone, values }) => ({ name, tone, values }));
}
