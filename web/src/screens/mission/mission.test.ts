import { describe, expect, it } from 'vitest';
import type { Task } from '$lib/types';
import { compose, parse } from './draft';
import { filterQuery, missionFilter } from './filter';
import { ribbon } from './ribbon';
import { SAMPLES } from './samples';

describe('filters of the feed', () => {
  it('come from the address and go back into it', () => {
    const filter = missionFilter(new URLSearchParams('status=failed,rejected&rank=A&q=edge+certs&other=1'));
    expect(filter).toEqual({ status: 'failed,rejected', rank: 'A', q: 'edge certs' });
    expect(missionFilter(new URLSearchParams(filterQuery(filter)))).toEqual(filter);
  });
  it('leave out what cannot be meant', () => {
    expect(missionFilter(new URLSearchParams('rank=Z&since=yesterday&q=%20'))).toEqual({});
    expect(filterQuery({})).toBe('');
  });
});

describe('a draft', () => {
  it('is YAML or JSON, with or without its tasks in a mapping', async () => {
    expect((await parse('{"goal": "x", "tasks": []}')).mission).toEqual({ goal: 'x', tasks: [] });
    expect((await parse('- id: a\n  uses: shell.run\n')).mission).toEqual({ tasks: [{ id: 'a', uses: 'shell.run' }] });
    expect((await parse('on: yes\n')).mission).toEqual({ on: 'yes' });
  });
  it('says where it is wrong', async () => {
    const { mission, problem } = await parse('goal: [unclosed\n');
    expect(mission).toBeNull();
    expect(problem).toMatch(/line 2/);
    expect((await parse('just text')).problem).toContain('goal');
  });
  it('does not grow without bound', async () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.split('').map((key, at) => `${key}: &${key} [${`*${'abcdefgh'[at]},`.repeat(9)}]`).join('\n')}\n`;
    expect((await parse(bomb)).mission).toBeNull();
  });
  it('takes what the form adds', () => {
    expect(compose({ mission: { goal: 'x' }, problem: '' }, 'B', 'manual').mission).toEqual({ goal: 'x', rank: 'B', start: 'manual' });
    expect(compose({ mission: { goal: 'x' }, problem: '' }, '', 'auto').mission).toEqual({ goal: 'x' });
  });
  it('can begin with any sample', async () => {
    for (const text of Object.values(SAMPLES)) expect((await parse(text)).problem).toBe('');
  });
});

describe('the ribbon', () => {
  const ran = (id: string, from: number, to: number | null): Task => ({
    task_id: id, mission_id: 'm', id, uses: 'x', needs: [], status: to === null ? 'running' : 'succeeded', rank: 'E', attempt: 1, effect_unknown: false,
    agent: { id: 'a' }, started_at: new Date(from * 1000).toISOString(), finished_at: to === null ? null : new Date(to * 1000).toISOString(),
  });
  it('gives what runs at once lanes of their own', () => {
    const { bars, seconds } = ribbon([ran('a', 0, 10), ran('b', 2, 8), ran('c', 10, 12)], 0);
    expect(bars.map((bar) => bar.lane)).toEqual([0, 1, 0]);
    expect(seconds).toBe(12);
  });
  it('presses long silences together', () => {
    const { bars, gaps } = ribbon([ran('a', 0, 10), ran('b', 1000, 1010)], 0);
    expect(gaps).toHaveLength(1);
    expect(bars[0]!.width).toBeGreaterThan(200);
    expect(bars[1]!.x + bars[1]!.width).toBeCloseTo(1000);
  });
  it('draws what still runs until now, and nothing of nothing', () => {
    expect(ribbon([ran('a', 0, null)], 30_000).seconds).toBe(30);
    expect(ribbon([], 0).bars).toEqual([]);
  });
});
