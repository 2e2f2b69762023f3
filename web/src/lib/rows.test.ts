import { describe, expect, it } from 'vitest';
import { MOST_ROWS, sight } from './rows.svelte';

describe('the rows in sight', () => {
  it('are those of the window and a few around', () => {
    expect(sight(0, 500, 50, 1000)).toEqual({ from: 0, to: 26 });
    expect(sight(5000, 500, 50, 1000)).toEqual({ from: 92, to: 118 });
    expect(sight(50_000, 500, 50, 1000)).toEqual({ from: 974, to: 1000 });
  });
  it('are never more than the bound, fewer than none, or beyond the list', () => {
    for (const top of [-1e6, 0, 333, 1e9]) for (const view of [0, 80, 4000, 1e6]) for (const count of [0, 1, 20, 100_000]) {
      const { from, to } = sight(top, view, 52, count);
      expect(from).toBeGreaterThanOrEqual(0);
      expect(to).toBeLessThanOrEqual(count);
      expect(to - from).toBeLessThanOrEqual(MOST_ROWS);
      expect(to - from).toBe(Math.min(count, to - from));
    }
  });
  it('cover the window wherever it is', () => {
    for (let top = 0; top < 5_000; top += 37) {
      const { from, to } = sight(top, 700, 52, 100_000);
      expect(from * 52).toBeLessThanOrEqual(top);
      expect(to * 52).toBeGreaterThanOrEqual(top + 700);
    }
  });
});
