import { describe, expect, it } from 'vitest';
import { causes } from './causes';
import { offBy } from './duration';
import { planned } from './planner';

const DAYS = ['2026-01-01', '2026-01-02'];
describe('failures', () => {
  const named = (name: string, count: number) => ({ name, count });
  it('are by cause and day, of all capabilities together', () => {
    const by_day = [
      { day: '2026-01-01', cause: 'timeout', capability: 'a', count: 2 },
      { day: '2026-01-01', cause: 'timeout', capability: 'b', count: 1 },
      { day: '2026-01-02', cause: 'exit', capability: 'a', count: 4 },
      { day: '2025-12-31', cause: 'exit', capability: 'a', count: 9 },
    ];
    const found = causes({ window_days: 2, since: DAYS[0] ?? '', total: 7, by_cause: [named('exit', 4), named('timeout', 3)], by_capability: [], by_day }, DAYS, (each) => each);
    expect(found.map((part) => [part.name, part.values])).toEqual([['exit', [0, 4]], ['timeout', [3, 0]]]);
  });
  it('share one colour where nobody could tell them apart, and none is lost', () => {
    const all = ['a', 'b', 'c', 'd', 'e', 'f'];
    const found = causes({ window_days: 2, since: DAYS[0] ?? '', total: 6, by_cause: all.map((each) => named(each, 1)), by_capability: [], by_day: all.map((cause) => ({ day: '2026-01-02', cause, capability: 'x', count: 1 })) }, DAYS, (each) => each);
    expect(found.map((part) => part.name)).toEqual(['a', 'b', 'c', 'd', '2 other causes']);
    expect(found.at(-1)?.values).toEqual([0, 2]);
    expect(new Set(found.map((part) => part.tone)).size).toBe(5);
  });
});

describe('what planners did', () => {
  const day = (at: number, asked: number, done: number, tokens: number, cost_usd: number) => ({ day: DAYS[at] ?? '', asked, planned: done, calls: 1, tokens, cost_usd });
  const sums = { questions: 0, fell_through: 0, outcomes: {}, calls: 0, tokens_in: 0, tokens_out: 0, cost_usd: 0, cached: 0, asked: 0, planned: 0, mean_seconds: null };
  const planners = [
    { kind: 'playbook', ...sums, by_day: [day(0, 5, 1, 0, 0), day(1, 2, 2, 0, 0)] },
    { kind: 'model', ...sums, by_day: [day(0, 4, 3, 900, 0.5)] },
  ];
  const of = (view: 'goals' | 'tokens' | 'money') => planned(planners, DAYS, view, (each) => each).map((part) => [part.name, part.values]);
  it('has every goal once, with those that nobody planned', () => {
    expect(of('goals')).toEqual([['playbook', [1, 2]], ['model', [3, 0]], ['without a plan', [1, 0]]]);
  });
  it('has what was paid by whom it was paid to', () => {
    expect(of('tokens')).toEqual([['model', [900, 0]]]);
    expect(of('money')).toEqual([['model', [0.5, 0]]]);
  });
});

describe('how far durations were off', () => {
  it('is a share up to as much again, and a factor above', () => {
    expect(offBy(0.352)).toEqual(['35\u202f%', 'off, in the median']);
    expect(offBy(59.85)).toEqual(['61 times', 'too long predicted, in the median']);
    expect(offBy(1.4)).toEqual(['2.4 times', 'too long predicted, in the median']);
    expect(offBy(null)).toEqual(['–', 'nothing scored yet']);
  });
});
