import { describe, expect, it } from 'vitest';
import { fold } from '$lib/dag/fold';
import { grouped } from '$lib/group';
import type { Attempt, Task, TaskStatus } from '$lib/types';
import { askedFor, scale, timeline } from './timeline';

const iso = (seconds: number | null) => (seconds === null ? null : new Date(seconds * 1000).toISOString());
const task = (id: string, from: number | null, to: number | null, more: Partial<Task> = {}): Task => ({
  task_id: `${id}${more.index ?? ''}`, mission_id: 'm', id, uses: 'x', needs: [], status: (from === null ? 'pending' : to === null ? 'running' : 'succeeded') as TaskStatus, rank: 'E', attempt: from === null ? 0 : 1,
  effect_unknown: false, started_at: iso(from), finished_at: iso(to), ...more,
});
function rowsOf(tasks: Task[], edges: [string, string][], { now = 0, began = 100, attempts = new Map<string, readonly Attempt[]>() } = {}) {
  const children = grouped(tasks.filter((each) => each.index !== null && each.index !== undefined), (each) => each.id);
  return timeline({ graph: fold(tasks, edges.map(([from, to]) => ({ from, to }))), children, attempts, began: began * 1000, now: now * 1000 });
}
const short = (row: { pieces: { kind: string; from: number; to: number }[] }) => row.pieces.map(({ kind, from, to }) => [kind, from / 1000, to / 1000]);

describe('a row', () => {
  it('waits from when the last thing it needs was over', () => {
    const [a, b, c] = rowsOf([task('a', 101, 110), task('b', 100, 120), task('c', 125, 130)], [['a', 'c'], ['b', 'c']]).sort((x, y) => x.name.localeCompare(y.name));
    expect(short(a!)).toEqual([['wait', 100, 101], ['run', 101, 110]]);
    expect(short(b!)).toEqual([['run', 100, 120]]);
    expect(short(c!)).toEqual([['wait', 120, 125], ['run', 125, 130]]);
  });
  it('does not wait while something it needs is not over, and waits on until now when it could start', () => {
    const rows = rowsOf([task('a', 100, null), task('b', null, null), task('c', null, null, { status: 'gated' })], [['a', 'b']], { now: 140 });
    expect(Object.fromEntries(rows.map((row) => [row.name, short(row)]))).toEqual({ a: [['run', 100, 140]], b: [], c: [['wait', 100, 140]] });
    expect(rows.find((row) => row.name === 'c')?.pieces[0]?.status).toBe('wait');
  });
  it('shows each attempt and the pause before the next', () => {
    const attempt = (number: number, from: number, to: number, status: string) => ({ number, fence: `1.${number}`, agent: { id: 'a' }, status, log_bytes: 0, started_at: iso(from), finished_at: iso(to) });
    const [row] = rowsOf([task('a', 130, 135, { attempt: 2 })], [], { attempts: new Map([['a', [attempt(1, 100, 110, 'failed'), attempt(2, 130, 135, 'succeeded')]]]) });
    expect(short(row!)).toEqual([['run', 100, 110], ['pause', 110, 130], ['run', 130, 135]]);
    expect(row!.pieces.map((piece) => piece.status)).toEqual(['fail', 'block', 'ok']);
    expect(row!.ran).toBe(15_000);
    expect([task('a', 1, 2), task('a', 1, null), task('a', 1, 2, { attempt: 2 }), task('a', 1, null, { status: 'backoff' }), task('a', null, null)].map(askedFor)).toEqual([false, false, true, true, false]);
  });
  it('of a fan-out that is folded holds all of it', () => {
    const own = Array.from({ length: 12 }, (_, at) => task('f', 110 + at, 112 + at, { index: at }));
    const rows = rowsOf([task('a', 100, 110), task('f', 110, 123), ...own, task('z', 130, 131)], [['a', 'f'], ['f', 'z']]);
    const folded = rows.find((row) => row.name === 'f')!;
    expect(folded.children).toHaveLength(12);
    expect([folded.started, folded.ended, folded.ran]).toEqual([110_000, 123_000, 13_000]);
    expect(folded.pieces.filter((piece) => piece.kind !== 'run')).toHaveLength(0);
    expect(short(rows.find((row) => row.name === 'z')!)[0]).toEqual(['wait', 123, 130]);
  });
  it('of a rerun keeps what ran before out of the axis, and of skipped work draws nothing', () => {
    const rows = rowsOf([task('a', 10, 20), task('b', 101, 105), task('c', null, 105, { status: 'skipped' })], [['a', 'b']]);
    expect(rows.map((row) => [row.name, row.kept, row.pieces.length])).toEqual(expect.arrayContaining([['a', true, 0], ['b', false, 2], ['c', false, 0]]));
    expect(scale(rows, 100_000).origin).toBe(100_000);
  });
  it('is on the chain if the end of all waited for it', () => {
    const rows = rowsOf([task('a', 100, 101), task('slow', 100, 120), task('b', 120, 125), task('side', 101, 102)], [['a', 'b'], ['slow', 'b'], ['a', 'side']]);
    expect(rows.filter((row) => row.chain).map((row) => row.name).sort()).toEqual(['b', 'slow']);
  });
});

describe('the axis', () => {
  it('presses what is quiet and says how long it was, in order and within its ends', () => {
    const rows = rowsOf([task('a', 100, 110), task('b', 1000, 1010)], [['a', 'b']]);
    const axis = scale(rows, 100_000);
    expect(axis.gaps.map((gap) => gap.seconds)).toEqual([890]);
    expect(axis.place(110_000) - axis.place(100_000)).toBeGreaterThan(0.4);
    const places = [100, 105, 110, 500, 1000, 1005, 1010].map((at) => axis.place(at * 1000));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect([places[0], places.at(-1)]).toEqual([0, 1]);
    expect(axis.ticks.every((tick) => tick.at >= 0 && tick.at <= 1)).toBe(true);
    expect(axis.ticks.some((tick) => tick.seconds > 11 && tick.seconds < 899)).toBe(false);
  });
  it('has a few ticks at whole steps, however long it is', () => {
    for (const seconds of [0.05, 1, 9, 61, 4000, 90_000, 5_000_000]) {
      const axis = scale(rowsOf([task('a', 100, 100 + seconds)], []), 100_000);
      expect(axis.ticks.length).toBeGreaterThan(0);
      expect(axis.ticks.length).toBeLessThan(12);
    }
  });
  it('stands where nothing ran', () => {
    const axis = scale(rowsOf([task('a', null, null)], [], { now: 200 }), 100_000);
    expect(axis.gaps).toEqual([]);
    expect(axis.place(150_000)).toBeCloseTo(0.5);
    expect(Number.isFinite(scale([], 100_000).place(0))).toBe(true);
  });
});
