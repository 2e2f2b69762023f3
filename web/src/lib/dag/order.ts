// The order of vertices within layers: by the mean place of their neighbours, back and forth, keeping the best.
import type { Layered } from './layout';

export function sweep(graph: Layered, sweeps: number) {
  const place = places(graph);
  let least = count(graph, place);
  let best = graph.layers.map((layer) => [...layer]);
  for (let turn = 0; turn < sweeps && least > 0; turn++) {
    const forth = turn % 2 === 0;
    const [first, last, step] = forth ? [1, graph.layers.length, 1] : [graph.layers.length - 2, -1, -1];
    for (let at = first; at !== last; at += step) arrange(graph.layers[at] ?? [], forth ? graph.up : graph.down, place);
    const found = count(graph, place);
    if (found < least) {
      least = found;
      best = graph.layers.map((layer) => [...layer]);
    }
  }
  graph.layers = best;
}

function places(graph: Layered): Float64Array {
  const place = new Float64Array(graph.up.length);
  for (const layer of graph.layers) layer.forEach((vertex, at) => (place[vertex] = at));
  return place;
}

function arrange(layer: number[], neighbours: number[][], place: Float64Array) {
  const wish = new Map(layer.map((vertex) => {
    const beside = neighbours[vertex] ?? [];
    const sum = beside.reduce((total, each) => total + (place[each] ?? 0), 0);
    return [vertex, beside.length > 0 ? sum / beside.length : (place[vertex] ?? 0)];
  }));
  layer.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || (place[a] ?? 0) - (place[b] ?? 0));
  layer.forEach((vertex, at) => (place[vertex] = at));
}

/** How many pairs of edges cross. */
export const crossings = (graph: Layered): number => count(graph, places(graph));

function count(graph: Layered, place: Float64Array): number {
  let total = 0;
  for (let at = 0; at + 1 < graph.layers.length; at++) {
    total += between(graph.layers[at] ?? [], graph.layers[at + 1]?.length ?? 0, graph.down, place);
  }
  return total;
}

/** Crossings between two layers, counted with a Fenwick tree. */
function between(layer: number[], width: number, down: number[][], place: Float64Array): number {
  const tree = new Int32Array(width + 1);
  let [crossed, seen] = [0, 0];
  for (const vertex of layer) {
    const ends = (down[vertex] ?? []).map((each) => place[each] ?? 0);
    for (const end of ends) {
      let before = 0;
      for (let at = end + 1; at > 0; at -= at & -at) before += tree[at] ?? 0;
      crossed += seen - before;
    }
    for (const end of ends) {
      for (let at = end + 1; at <= width; at += at & -at) tree[at] = (tree[at] ?? 0) + 1;
      seen += 1;
    }
  }
  return crossed;
}
