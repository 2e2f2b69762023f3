import { describe, expect, it } from 'vitest';
import { before, days, steps } from './growth';

const LEDGER = [
  { seq: 1, at: '2026-01-01T10:00:00Z', xp: 10 },
  { seq: 3, at: '2026-01-02T11:00:00Z', xp: 20 },
  { seq: 2, at: '2026-01-02T10:00:00Z', xp: -5 },
];
describe('the ledger', () => {
  it('adds up to the total, oldest first, whatever the order', () => {
    expect(steps(LEDGER, 25).map((each) => each.total)).toEqual([10, 5, 25]);
    expect(steps([], 7)).toEqual([]);
  });
  it('begins where it begins when it is read in part', () => {
    expect(steps(LEDGER.slice(1), 125).map((each) => each.total)).toEqual([105, 125]);
    expect(before(LEDGER.slice(1), 125)).toBe(110);
    expect(before(LEDGER, 25)).toBe(0);
  });
  it('is summed by day, newest first', () => {
    expect(days(LEDGER)).toEqual([{ day: '2026-01-02', gained: 20, taken: -5, entries: 2 }, { day: '2026-01-01', gained: 10, taken: 0, entries: 1 }]);
  });
});
