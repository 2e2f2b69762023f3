import { render, screen } from '@testing-library/svelte';
import { describe, expect, it } from 'vitest';
import { Refused } from '$lib/api';
import { form, STAGES } from '$lib/sigil';
import { RANKS } from '$lib/types';
import Failure from './Failure.svelte';
import Rank from './Rank.svelte';
import State from './State.svelte';

describe('a rank', () => {
  it('is named and carries its letter and its own shape', () => {
    const shapes = RANKS.map((rank) => {
      const { container, unmount } = render(Rank, { rank });
      expect(screen.getByRole('img', { name: `Rank ${rank}` }).textContent).toBe(rank);
      const shape = container.querySelector('circle, polygon')?.outerHTML;
      unmount();
      return shape;
    });
    expect(new Set(shapes).size).toBe(6);
  });
});

describe('a state', () => {
  it('has a silhouette of its own', () => {
    const glyphs = ['ok', 'run', 'wait', 'doubt', 'fail', 'queue', 'block', 'skip'] as const;
    const drawn = glyphs.map((glyph) => {
      const { container, unmount } = render(State, { glyph, label: glyph });
      const found = [...container.querySelectorAll('svg > *')].map((part) => part.outerHTML).join('');
      unmount();
      return found;
    });
    expect(new Set(drawn).size).toBe(glyphs.length);
  });
});

describe('a failure', () => {
  it('says what happened and offers to try again where that can help', () => {
    let tried = 0;
    const { unmount } = render(Failure, { error: new Refused(503, { detail: 'The database is busy.' }), retry: () => tried++ });
    expect(screen.getByRole('alert').textContent).toContain('The database is busy.');
    screen.getByRole('button', { name: 'Try again' }).click();
    expect(tried).toBe(1);
    unmount();
    const missing = render(Failure, { error: new Refused(404, { detail: 'no such mission' }), retry: () => tried++, what: 'This mission' });
    expect(screen.getByRole('heading').textContent).toBe('This mission does not exist');
    expect(screen.queryByRole('button')).toBeNull();
    missing.unmount();
  });
  it('shows the way to where such things are, and what it was told as a sentence', () => {
    render(Failure, { error: new Refused(404, { detail: 'there is no mission `mis_x`' }), what: 'This mission', back: ['/missions', 'To the missions'], whole: true });
    expect(screen.getByRole('link', { name: 'To the missions' }).getAttribute('href')).toBe('/organism/missions');
    expect(screen.getByRole('alert').textContent).toContain('There is no mission mis_x. It may have been removed');
    expect(screen.getByText('mis_x').tagName).toBe('CODE');
  });
});

describe('a sigil', () => {
  it('is the same for the same seed, another for another, and mirrored', () => {
    for (const stage of STAGES) expect(form(stage, 417)).toEqual(form(stage, 417));
    expect(form('apex', 1)).not.toEqual(form('apex', 2));
    const xs = [...form('sovereign', 5).wings.matchAll(/[ML](-?[\d.]+) /g)].map((found) => Number(found[1]));
    const mean = xs.reduce((sum, x) => sum + x, 0) / xs.length;
    expect(mean).toBeCloseTo(50, 0);
  });
});
