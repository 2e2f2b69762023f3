import { describe, expect, it } from 'vitest';
import { LONGEST, pieces, plain } from './ansi';
import { clamp, scaleOf, scrolled, TALLEST, toPhysical, toVirtual } from './scale';

describe('scale', () => {
  const million = scaleOf(1_000_000, 18, 600);

  it('keeps the element below what browsers allow', () => {
    expect(million.physical).toBe(TALLEST);
    expect(scaleOf(100, 18, 600).physical).toBe(1800);
  });
  it('reaches both ends exactly', () => {
    expect(scrolled(million, 5000, 300, 0)).toBe(0);
    expect(scrolled(million, 0, 0, million.physical - million.view)).toBe(million.total - million.view);
  });
  it('moves by pixels for a nudge and by proportion for a drag', () => {
    expect(scrolled(million, 9000, 4000, 4054)).toBe(9054);
    expect(scrolled(million, 0, 0, 4_000_000)).toBeCloseTo(toVirtual(million, 4_000_000));
  });
  it('finds its way back from every line', () => {
    for (const line of [0, 1, 499_999, 999_960]) {
      const at = clamp(million, line * 18);
      expect(toVirtual(million, toPhysical(million, at))).toBeCloseTo(at, 3);
    }
  });
  it('does not scroll what fits', () => {
    expect(clamp(scaleOf(3, 18, 600), 500)).toBe(0);
  });
});

describe('pieces of a line', () => {
  it('turns colours into classes', () => {
    expect(pieces('\u001b[32mok\u001b[0m done')).toEqual([
      { text: 'ok', look: 'fg-2', link: null },
      { text: ' done', look: '', link: null },
    ]);
    expect(pieces('\u001b[1;38;5;196mx')[0]!.look).toBe('fg-1 bold');
    expect(pieces('\u001b[38;2;10;200;20mx')[0]!.look).toBe('fg-2');
  });
  it('drops sequences that move and shows controls that hide', () => {
    expect(plain('a\u001b[2Kb\u001b]8;;http://x\u0007c')).toBe('abc');
    expect(plain('gnp\u202egnp.exe\u0000')).toBe('gnp\ufffdgnp.exe\ufffd');
    expect(plain('\u001b[99999999999999999999mx')).toBe('x');
  });
  it('links addresses and nothing else', () => {
    const found = pieces('see https://example.com/a?b=c. javascript:alert(1)');
    expect(found.filter((piece) => piece.link).map((piece) => piece.link)).toEqual(['https://example.com/a?b=c']);
  });
  it('marks what was searched for, in any case', () => {
    expect(pieces('Reload and reload', 'reload').filter((piece) => piece.look.includes('mark')).map((piece) => piece.text)).toEqual(['Reload', 'reload']);
  });
  it('cuts lines nobody can read', () => {
    expect(plain(pieces('x'.repeat(1_000_000)).map((piece) => piece.text).join(''))).toHaveLength(LONGEST + 1);
  });
});
