import { describe, expect, it } from 'vitest';
import type { AssertedBelief } from '$lib/types';
import { HEIGHT, place } from './graph';

const belief = (id: string, rests_on: string[], status = 'held'): AssertedBelief =>
  ({ id, statement: id, status, confidence: 0.5, doubted_by: null, rests_on, revision: 1, created_by: 'x', created_at: '', changed_at: '' });

describe('the picture of beliefs', () => {
  it('puts each above what it rests on', () => {
    const { nodes, links, height } = place([belief('top', ['middle', 'gone']), belief('middle', ['ground']), belief('ground', [], 'contradicted')]);
    const y = (id: string) => nodes.find((node) => node.belief.id === id)?.y ?? -1;
    expect([y('top') < y('middle'), y('middle') < y('ground'), y('ground')]).toEqual([true, true, height - HEIGHT]);
    expect(links.map((link) => [link.from.belief.id, link.to.belief.id, link.fallen])).toEqual([['middle', 'ground', true], ['top', 'middle', false]]);
  });
  it('ends where the records are wrong', () => {
    expect(place([belief('a', ['b']), belief('b', ['a'])]).nodes).toHaveLength(2);
    expect(place([]).nodes).toEqual([]);
  });
});
