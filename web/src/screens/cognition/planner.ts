// What planners did, by day, as the parts of a plot.
import type { CognitionStatus } from '$lib/types';
import type { Part } from '$ui/DayBars.svelte';

type Planners = CognitionStatus['planner'];
/** What may be looked at, the dearest last: that is what is shown where there is any of it. */
export const VIEWS = [
  { id: 'goals', title: 'Goals', sum: 'asked' },
  { id: 'tokens', title: 'Tokens', sum: 'tokens_out' },
  { id: 'money', title: 'Money', sum: 'cost_usd' },
] as const;
export type View = (typeof VIEWS)[number]['id'];

const TONES: Record<string, string> = { playbook: 'ok', memory: 'aether', model: 'accent' };
const FIELD = { goals: 'planned', tokens: 'tokens', money: 'cost_usd' } as const;

/** By planner; of goals also those that nobody had a plan for. The first planner is asked about every goal. */
export function planned(planners: Planners, days: readonly string[], view: View, named: (kind: string) => string): Part[] {
  const place = new Map(days.map((day, at) => [day, at]));
  const byDay = (of: Planners[number] | undefined, field: 'asked' | (typeof FIELD)[View]) => {
    const values = days.map(() => 0);
    for (const each of of?.by_day ?? []) {
      const at = place.get(each.day);
      if (at !== undefined) values[at] = each[field];
    }
    return values;
  };
  const parts = planners
    .map((each) => ({ name: named(each.kind), tone: TONES[each.kind] ?? 'queue', values: byDay(each, FIELD[view]) }))
    .filter(({ values }) => view === 'goals' || values.some((each) => each > 0));
  if (view !== 'goals') return parts;
  const asked = byDay(planners[0], 'asked');
  const without = asked.map((all, at) => Math.max(0, all - parts.reduce((sum, part) => sum + (part.values[at] ?? 0), 0)));
  return [...parts, { name: named('without a plan'), tone: 'queue', values: without }];
}
