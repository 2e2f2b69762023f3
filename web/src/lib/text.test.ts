import { describe, expect, it } from 'vitest';
import { ago, bytes, count, duration, sentence, short, shown, some, visible, withTimes } from './text';

describe('text', () => {
  it('shows what hides or reorders', () => {
    expect(visible('a\u202eb\u200bc\u001b[31m')).toBe('a\ufffdb\ufffdc\ufffd[31m');
    expect(visible('tab\tand\nline stay')).toBe('tab\tand\nline stay');
    expect(visible('\u{e0041}x\u2066y\ufeff')).toBe('\ufffdx\ufffdy\ufffd');
  });
  it('cuts names without end', () => {
    expect(shown('x'.repeat(1_000_000), 10)).toBe(`${'x'.repeat(10)}…`);
    expect(shown(null)).toBe('');
  });
  it('writes sizes and times', () => {
    expect(bytes(999)).toBe('999 B');
    expect(bytes(1_250)).toBe('1.3 kB');
    expect(bytes(12_800_000)).toBe('13 MB');
    expect([0.078, 2.14, 41, 1122, 7500, 270_000].map(duration)).toEqual(['78 ms', '2.1 s', '0:41', '18:42', '2 h 05', '3 d 3 h']);
    expect(duration(Number.NaN)).toBe('–');
  });
  it('writes how long ago', () => {
    const now = Date.parse('2030-01-01T12:00:00Z');
    expect(ago('2030-01-01T11:59:00Z', now)).toBe('1 min ago');
    expect(ago('2030-01-01T12:00:30Z', now)).toBe('in 30 s');
    expect(ago('2030-01-01T11:59:58Z', now)).toBe('just now');
  });
  it('makes a sentence of what a program says', () => {
    expect(sentence(' there is no mission `x` ')).toBe('There is no mission `x`.');
    expect(['Done.', 'why?', 'it said “no.”', ''].map(sentence)).toEqual(['Done.', 'Why?', 'It said “no.”', '']);
  });
  it('writes the first moment of a text as a person does', () => {
    const written = /^until 2[0-9] Dec 2026, \d\d:\d\d$/;
    expect(withTimes('until 2026-12-23T06:57:32.181000Z')).toMatch(written);
    expect(withTimes('until 2026-12-23 06:57 UTC')).toMatch(written);
    expect(['2026-99-99T06:57:32Z', 'v2026-12-23T06:57Zulu', 'no time'].map(withTimes)).toEqual(['2026-99-99T06:57:32Z', 'v2026-12-23T06:57Zulu', 'no time']);
  });
  it('shortens lists and digests', () => {
    expect(some(['a', 'b', 'c', 'd', 'e'])).toBe('a, b, c and 2 more');
    expect(short('0123456789abcdef')).toBe('01234567…cdef');
    expect(count(1_234_567)).toBe('1\u202f234\u202f567');
  });
});
