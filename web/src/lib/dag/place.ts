// Where vertices stand within their layers: each pass moves every layer as near to its neighbours as its order allows
// (isotonic regression by pooling neighbours that would overlap). Long edges and chains pull hardest, so they are straight.
import type { Layered } from './layout';

const PASSES = 28;
const STRAIGHT = 10;
interface Pool {
  sum: number;
  weight: number;
  size: number;
}

export function place(graph: Layered, gap: number): Float64Array {
  const { layers, up, down, heights, real } = graph;
  const y = new Float64Array(up.length);
  const height = (vertex: number) => heights[vertex] ?? 0;
  // Distances from the first of a layer when all stand as near as they may.
  const offsets = layers.map((layer) => {
    const found = [0];
    for (let at = 1; at < layer.length; at++) {
      found.push((found[at - 1] ?? 0) + (height(layer[at - 1] ?? 0) + height(layer[at] ?? 0)) / 2 + gap);
    }
    return found;
  });
  layers.forEach((layer, at) => {
    const own = offsets[at] ?? [];
    layer.forEach((vertex, place) => (y[vertex] = (own[place] ?? 0) - (own.at(-1) ?? 0) / 2));
  });
  const pull = (from: number, to: number): number => {
    if (from >= real && to >= real) return 16;
    if (down[from]?.length === 1 && up[to]?.length === 1) return 8;
    return from >= real || to >= real ? 3 : 1;
  };
  for (let pass = 0; pass < PASSES; pass++) {
    const both = pass % 4 >= 2;
    for (let step = 0; step < layers.length; step++) {
      const at = pass % 2 === 0 ? step : layers.length - 1 - step;
      const layer = layers[at] ?? [];
      const own = offsets[at] ?? [];
      const pools: Pool[] = [];
      layer.forEach((vertex, place) => {
        let [sum, weight] = [0, 0];
        const towards = (other: number, strength: number) => {
          sum += (y[other] ?? 0) * strength;
          weight += strength;
        };
        if (both || pass % 2 === 0) for (const other of up[vertex] ?? []) towards(other, pull(other, vertex));
        if (both || pass % 2 === 1) for (const other of down[vertex] ?? []) towards(other, pull(vertex, other));
        const wish = weight > 0 ? sum / weight : (y[vertex] ?? 0);
        const strength = weight || 0.2;
        pools.push({ sum: (wish - (own[place] ?? 0)) * strength, weight: strength, size: 1 });
        merge(pools);
      });
      let at2 = 0;
      for (const pool of pools) {
        const base = pool.sum / pool.weight;
        for (let each = 0; each < pool.size; each++, at2++) y[layer[at2] ?? 0] = base + (own[at2] ?? 0);
      }
    }
  }
  straighten(graph, y);
  return y;
}

function merge(pools: Pool[]) {
  for (;;) {
    const [before, last] = [pools.at(-2), pools.at(-1)];
    if (!before || !last || before.sum / before.weight <= last.sum / last.weight) return;
    before.sum += last.sum;
    before.weight += last.weight;
    before.size += last.size;
    pools.pop();
  }
}

/** Takes the last small bends out where there is room. */
function straighten({ layers, up, heights }: Layered, y: Float64Array) {
  for (const layer of layers.slice(1)) {
    layer.forEach((vertex, at) => {
      const parents = up[vertex] ?? [];
      const wish = y[parents[0] ?? 0] ?? 0;
      if (parents.length !== 1 || Math.abs(wish - (y[vertex] ?? 0)) >= STRAIGHT) return;
      const room = (other: number | undefined) => ((heights[other ?? 0] ?? 0) + (heights[vertex] ?? 0)) / 2;
      const [before, after] = [layer[at - 1], layer[at + 1]];
      const low = before === undefined ? -Infinity : (y[before] ?? 0) + room(before);
      const high = after === undefined ? Infinity : (y[after] ?? 0) - room(after);
      if (wish >= low && wish <= high) y[vertex] = wish;
    });
  }
}
