import { describe, expect, it } from 'vitest';
import { grouped } from '../group';
import { generator } from '../sigil';
import type { Task } from '../types';
import { fold, FOLD, ordered } from './fold';
import { circuit, layout, type LayoutEdge } from './layout';

const SIZES = { width: 132, height: 46, gapX: 34, gapY: 18 };

/** A layered graph of `count` nodes, the same for the same seed. */
function graph(count: number, layers: number, seed = 7) {
  const random = generator(seed);
  const per = Math.ceil(count / layers);
  const nodes = Array.from({ length: count }, (_, at) => ({ id: `n${at}` }));
  const edges: LayoutEdge[] = [];
  for (let at = per; at < count; at++) {
    const layer = Math.floor(at / per);
    for (let each = 0; each < 1 + Math.floor(random() * 1.6); each++) {
      const back = random() < 0.85 ? 1 : Math.min(layer, 1 + Math.floor(random() * 3));
      const from = (layer - back) * per + Math.min(per - 1, Math.max(0, (at % per) + Math.floor((random() - 0.5) * 6)));
      edges.push({ from: `n${from}`, to: `n${at}` });
    }
  }
  return { nodes, edges };
}

describe('layout', () => {
  it('draws edges from left to right and nodes apart', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { nodes, edges } = graph(400, 12, seed);
      const drawn = layout(nodes, edges, SIZES);
      const by = new Map(drawn.nodes.map((node) => [node.id, node]));
      for (const { from, to } of edges) expect(by.get(from)!.x + SIZES.width).toBeLessThan(by.get(to)!.x);
      for (const layer of grouped(drawn.nodes, (node) => node.layer).values()) {
        layer.sort((a, b) => a.y - b.y);
        for (let at = 1; at < layer.length; at++) expect(layer[at]!.y).toBeGreaterThanOrEqual(layer[at - 1]!.y + SIZES.height - 0.01);
      }
    }
  });
  it('is the same for the same graph', () => {
    const { nodes, edges } = graph(120, 9);
    expect(layout(nodes, edges, SIZES)).toEqual(layout(nodes, edges, SIZES));
  });
  it('untangles what can be drawn without a crossing', () => {
    const edges = [['a', 'x'], ['b', 'y'], ['c', 'z']].map(([from, to]) => ({ from: from!, to: to! }));
    expect(layout(['c', 'a', 'b', 'x', 'y', 'z'].map((id) => ({ id })), edges, SIZES).crossings).toBe(0);
  });
  it('refuses a circle, and draws nothing from nothing', () => {
    const nodes = [{ id: 'a' }, { id: 'b' }];
    expect(() => layout(nodes, [{ from: 'a', to: 'b' }, { from: 'b', to: 'a' }], SIZES)).toThrow('circle');
    expect(layout([], [], SIZES)).toMatchObject({ nodes: [], edges: [], width: 0, height: 0 });
  });
  it('turns at 45 degrees only', () => {
    expect(circuit([[0, 0], [100, 0]])).toBe('M0 0H100');
    expect(circuit([[0, 0], [100, 20]])).toBe('M0 0H40L60 20H100');
    expect(circuit([])).toBe('');
  });
});

const task = (id: string, index: number | null, status: Task['status'] = 'succeeded'): Task => ({
  task_id: `${id}-${index}`, mission_id: 'm', id, index, uses: 'shell.run', needs: [], status, rank: 'E', attempt: 1, effect_unknown: false,
});

describe('fold', () => {
  const fan = (count: number) => [task('list', null), task('each', null), ...Array.from({ length: count }, (_, at) => task('each', at)), task('end', null)];
  const edges = [{ from: 'list', to: 'each' }, { from: 'each', to: 'end' }];

  it('shows few children beside each other', () => {
    const { nodes, edges: drawn } = fold(fan(3), edges);
    expect(nodes.map((node) => node.name)).toEqual(['list', 'each[0]', 'each[1]', 'each[2]', 'end']);
    expect(drawn).toHaveLength(6);
  });
  it('folds many into one', () => {
    const { nodes, edges: drawn } = fold(fan(FOLD + 1), edges);
    expect(nodes.map((node) => node.name)).toEqual(['list', 'each', 'end']);
    expect(nodes[1]!.children).toHaveLength(FOLD + 1);
    expect(drawn).toHaveLength(2);
  });
  it('puts each task after what it needs', () => {
    const reversed = [...fan(0)].reverse();
    expect(ordered(fold(reversed, edges)).map(({ node, depth }) => [node.name, depth])).toEqual([['list', 0], ['each', 1], ['end', 2]]);
  });
  it('draws what was added, and not what a lost attempt added', () => {
    const lost = { ...task('eu', null, 'skipped'), task_id: 'lost', skip_reason: 'superseded' };
    const found = fold([task('scan', null), task('sum', null), lost, task('eu', null)], [
      { from: 'scan', to: 'sum' }, { from: 'scan', to: 'eu' }, { from: 'eu', to: 'sum' }, { from: 'scan', to: 'eu' }, { from: 'eu', to: 'sum' },
    ]);
    expect(found.nodes.map((node) => node.key)).toEqual(['scan-null', 'sum-null', 'eu-null']);
    expect(found.edges).toHaveLength(3);
  });
  it('orders a chain of thousands without running out of stack', () => {
    const tasks = Array.from({ length: 5000 }, (_, at) => task(`t${at}`, null)).reverse();
    const chain = Array.from({ length: 4999 }, (_, at) => ({ from: `t${at}`, to: `t${at + 1}` }));
    const found = ordered(fold(tasks, chain));
    expect(found[0]!.node.name).toBe('t0');
    expect(found.at(-1)!.depth).toBe(4999);
  });
});
