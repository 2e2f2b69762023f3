import { describe, expect, it, vi } from 'vitest';
import { Refused } from '$lib/api';
import { fresh } from '$lib/fresh.svelte';
import { around, lineChanges } from '$lib/lines';
import { actsOf, policiesIn } from './cedar';
import { nameOf } from './names';
import { rosterOf } from './roster';
import { moves, verdictText, type PolicyReplay } from './verdict';

const SET = `// The table; with a semicolon.
@id("one")
permit (principal, action == Action::"run_unattended", resource)
when { context.capabilities.contains("a;b") };

// @id("not-this") is a comment
@id("two")
forbid (principal, action in [Action::"run_unattended", Action::"run_flagged"], resource);
permit (principal, action, resource);
`;

describe('a set of policies', () => {
  it('is cut where policies end, not in strings or comments', () => {
    const found = policiesIn(SET);
    expect(found.map(({ id, effect, line }) => [id, effect, line])).toEqual([['one', 'permit', 1], ['two', 'forbid', 6], ['', 'permit', 9]]);
    expect(found[0]?.text).toContain('"a;b"');
  });
  it('says what it is about; a policy that names no act is about all', () => {
    const [one, two, three] = policiesIn(SET);
    expect(actsOf(one!)).toEqual(['run unattended']);
    expect(actsOf(two!)).toEqual(['run unattended', 'run flagged']);
    expect(actsOf(three!)).toHaveLength(3);
  });
  it('may be anything at all', () => {
    for (const text of ['', ';', '"', '"\\', '//', '@id("', 'permit(']) expect(Array.isArray(policiesIn(text))).toBe(true);
  });
});

describe('what changed between two texts', () => {
  const rebuilt = (older: string, newer: string) => {
    const changes = lineChanges(older, newer);
    return [changes.filter((each) => each.kind !== 'add').map((each) => each.text).join('\n'), changes.filter((each) => each.kind !== 'gone').map((each) => each.text).join('\n')];
  };
  it('holds both texts, whatever they are', () => {
    for (const [a, b] of [['', ''], ['a', ''], ['a\nb\nc', 'a\nx\nc'], ['a\nb', 'b\na'], ['x\ny\nz', 'w\nx\nz\nz'], ['a\na\na', 'a\na']] as const) expect(rebuilt(a, b)).toEqual([a, b]);
  });
  it('is as small as it can be, with the numbers of the lines', () => {
    expect(lineChanges('a\nb\nc', 'a\nx\nc')).toEqual([
      { kind: 'same', before: 1, after: 1, text: 'a' }, { kind: 'gone', before: 2, after: null, text: 'b' },
      { kind: 'add', before: null, after: 2, text: 'x' }, { kind: 'same', before: 3, after: 3, text: 'c' },
    ]);
  });
  it('leaves out what is far from any change, and everything where nothing changed', () => {
    const text = Array.from({ length: 30 }, (_, at) => `line ${at}`).join('\n');
    const shown = around(lineChanges(text, text.replace('line 15\n', 'other\n')));
    expect(shown.filter((each) => each?.kind === 'same')).toHaveLength(6);
    expect(around(lineChanges(text, text))).toEqual([]);
  });
  it('does not compare without bound', () => {
    const big = (mark: string) => Array.from({ length: 3000 }, (_, at) => `${mark}${at}`).join('\n');
    expect(lineChanges(big('a'), big('b'))).toHaveLength(6000);
  });
});

describe('a replay', () => {
  const decided = (verdict: string, approvals_needed = 0) => ({ verdict, approvals_needed, policies: [], reason: '' });
  it('puts what becomes looser first', () => {
    const difference = (from: string, to: string) => ({ mission: 'm', goal: '', rank: 'C' as const, created_at: '', current: decided(from), proposed: decided(to) });
    const replay: PolicyReplay = { current_digest: '', proposed_digest: '', missions: 9, differing: 4, skipped: [], differences: [difference('flag', 'hold'), difference('flag', 'hold'), difference('flag', 'hold'), difference('hold', 'flag')] };
    expect(moves(replay).map(({ from, to, amount, looser }) => [from, to, amount, looser])).toEqual([['hold', 'flag', 1, true], ['flag', 'hold', 3, false]]);
  });
  it('says how many people it waits for, and shows a verdict it does not know', () => {
    expect(verdictText(decided('hold', 2))).toBe('Waits for 2 approvals');
    expect(verdictText(decided('ponder'))).toBe('ponder');
  });
});

describe('a roster', () => {
  it('is read as far as it fits', () => {
    const roster = rosterOf({ persons: { prn_b: { name: 'b', role: 'viewer', keys: [] }, prn_a: { name: 'a', role: 'owner', keys: [{ kind: 'cli', public_key: 'KEY' }] } }, need: { A: 1, S: 2 }, agents: { x: 1 }, predecessor: null, recovery: 'words' });
    expect(roster.persons.map(({ id, approves, keys }) => [id, approves, keys[0]?.text])).toEqual([['prn_a', true, 'KEY'], ['prn_b', false, undefined]]);
    expect(roster).toMatchObject({ need: { A: 1, S: 2 }, agents: 1, predecessor: null, recovery: true });
  });
  it('is empty where nothing fits', () => {
    for (const value of [null, 7, [], { persons: [], need: 'x' }]) expect(rosterOf(value)).toEqual({ persons: [], need: { A: null, S: null }, agents: 0, predecessor: null, recovery: false });
  });
});

describe('who did it', () => {
  it('is a name where one is known, else the id, cut', () => {
    expect(nameOf(new Map([['prn_1', 'kim']]), 'prn_1')).toBe('kim');
    expect(nameOf(undefined, 'prn_01m832dybce3893wnfy2sb37y3')).toBe('prn_…sb37y3');
    expect(nameOf(undefined, null)).toBe('');
  });
});

describe('an act that takes a new log-in', () => {
  const wanted = new Refused(403, { code: 'log_in_again', detail: 'log in again' });
  it('is done again after it, once', async () => {
    let tries = 0;
    const done = fresh.act(() => (tries++ === 0 ? Promise.reject(wanted) : Promise.resolve('done')));
    await vi.waitFor(() => expect(fresh.waiting).not.toBeNull());
    fresh.waiting?.done();
    expect(await done).toBe('done');
    expect(tries).toBe(2);
    expect(fresh.waiting).toBeNull();
  });
  it('is left where nobody logs in, and other refusals are refusals', async () => {
    const left = fresh.act(() => Promise.reject(wanted));
    await vi.waitFor(() => expect(fresh.waiting).not.toBeNull());
    fresh.waiting?.given(new Error('Nothing was done.'));
    await expect(left).rejects.toThrow('Nothing was done.');
    await expect(fresh.act(() => Promise.reject(new Refused(403, { code: 'forbidden', detail: 'no' })))).rejects.toThrow('no');
    expect(fresh.waiting).toBeNull();
  });
});
