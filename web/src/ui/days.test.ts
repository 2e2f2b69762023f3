import { describe, expect, it } from 'vitest';
import { dayName, daysTo, heaped, weeksBack } from './days';

describe('days', () => {
  it('go back from the last, over the ends of months and years', () => {
    expect(daysTo('2026-01-02', 4)).toEqual(['2025-12-30', '2025-12-31', '2026-01-01', '2026-01-02']);
    expect(dayName('2026-03-01')).toBe('1 Mar');
    expect(dayName('')).toBe('');
  });
  it('heap up: each part with what is below it, and what has no value adds nothing', () => {
    expect(heaped([[1, 0, 2], [3, 4], []], 3)).toEqual([[1, 0, 2], [4, 4, 2], [4, 4, 2]]);
    expect(heaped([], 3)).toEqual([]);
  });
  it('are named by whole weeks from the last, as many as there is room for', () => {
    expect(weeksBack(30, 500)).toEqual([1, 8, 15, 22, 29]);
    expect(weeksBack(30, 150)).toEqual([8, 29]);
    expect(weeksBack(90, 300).at(-1)).toBe(89);
    expect(weeksBack(90, 300).length).toBeLessThanOrEqual(4);
    expect(weeksBack(1, 10)).toEqual([0]);
  });
});
