// A layered drawing of a graph without cycles: layers by longest path, stand-ins on edges that skip layers, sweeps that
// lessen crossings, and places that keep chains straight. Pure and deterministic; runs in a Worker.
import { crossings, sweep } from './order';
import { place } from './place';

export interface LayoutNode {
  id: string;
  height?: number;
}
export interface LayoutEdge {
  from: string;
  to: string;
}
export interface Placed {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
  layer: number;
}
export interface Routed {
  from: string;
  to: string;
  points: [number, number][];
}
export interface Layout {
  nodes: Placed[];
  edges: Routed[];
  width: number;
  height: number;
  crossings: number;
}
export interface Sizes {
  width: number;
  height: number;
  gapX: number;
  gapY: number;
}

/** Vertices are numbers: first the nodes, then the stand-ins. */
export interface Layered {
  layers: number[][];
  up: number[][];
  down: number[][];
  heights: number[];
  /** How many are nodes. */
  real: number;
}

const SWEEPS = 12;
const STAND_IN = 6;

export function layout(nodes: LayoutNode[], edges: LayoutEdge[], sizes: Sizes): Layout {
  const index = new Map(nodes.map((node, at) => [node.id, at]));
  const pairs = edges.flatMap(({ from, to }): [number, number][] => {
    const [a, b] = [index.get(from), index.get(to)];
    return a === undefined || b === undefined || a === b ? [] : [[a, b]];
  });
  const rank = ranks(nodes.length, pairs);
  const graph: Layered = { layers: [], up: [], down: [], heights: [], real: nodes.length };
  const add = (layer: number, height: number) => {
    const vertex = graph.up.length;
    graph.up.push([]);
    graph.down.push([]);
    graph.heights.push(height);
    (graph.layers[layer] ??= []).push(vertex);
    return vertex;
  };
  const join = (from: number, to: number) => {
    graph.down[from]?.push(to);
    graph.up[to]?.push(from);
  };
  nodes.forEach((node, at) => add(rank[at] ?? 0, node.height ?? sizes.height));
  const chains = pairs.map(([from, to]) => {
    const chain = [from];
    for (let layer = (rank[from] ?? 0) + 1; layer < (rank[to] ?? 0); layer++) {
      const standIn = add(layer, STAND_IN);
      join(chain.at(-1) ?? from, standIn);
      chain.push(standIn);
    }
    join(chain.at(-1) ?? from, to);
    return [...chain, to];
  });
  sweep(graph, SWEEPS);
  const y = place(graph, sizes.gapY);
  return drawn(nodes, chains, graph, y, sizes);
}

/** The longest way from a beginning, for each. */
function ranks(count: number, pairs: [number, number][]): Int32Array {
  const after: number[][] = Array.from({ length: count }, () => []);
  const left = new Int32Array(count);
  for (const [from, to] of pairs) {
    after[from]?.push(to);
    left[to] = (left[to] ?? 0) + 1;
  }
  const rank = new Int32Array(count);
  const queue = [...left.keys()].filter((at) => left[at] === 0);
  for (let head = 0; head < queue.length; head++) {
    const at = queue[head] as number;
    for (const next of after[at] ?? []) {
      rank[next] = Math.max(rank[next] ?? 0, (rank[at] ?? 0) + 1);
      left[next] = (left[next] ?? 0) - 1;
      if (left[next] === 0) queue.push(next);
    }
  }
  if (queue.length !== count) throw new Error('The tasks depend on each other in a circle.');
  return rank;
}

function drawn(nodes: LayoutNode[], chains: number[][], graph: Layered, y: Float64Array, sizes: Sizes): Layout {
  const layerOf = new Int32Array(graph.up.length);
  graph.layers.forEach((layer, at) => layer.forEach((vertex) => (layerOf[vertex] = at)));
  let [top, bottom] = [Infinity, -Infinity];
  graph.heights.forEach((height, vertex) => {
    top = Math.min(top, (y[vertex] ?? 0) - height / 2);
    bottom = Math.max(bottom, (y[vertex] ?? 0) + height / 2);
  });
  if (nodes.length === 0) [top, bottom] = [0, 0];
  const x = (vertex: number) => (layerOf[vertex] ?? 0) * (sizes.width + sizes.gapX);
  const middle = (vertex: number) => (y[vertex] ?? 0) - top;
  return {
    nodes: nodes.map((node, at) => {
      const height = graph.heights[at] ?? sizes.height;
      return { id: node.id, x: x(at), y: middle(at) - height / 2, width: sizes.width, height, layer: layerOf[at] ?? 0 };
    }),
    edges: chains.map((chain) => {
      const last = chain.length - 1;
      return {
        from: nodes[chain[0] ?? 0]?.id ?? '',
        to: nodes[chain[last] ?? 0]?.id ?? '',
        points: chain.flatMap((vertex, at): [number, number][] => {
          if (at === 0) return [[x(vertex) + sizes.width, middle(vertex)]];
          if (at === last) return [[x(vertex), middle(vertex)]];
          return [[x(vertex), middle(vertex)], [x(vertex) + sizes.width, middle(vertex)]];
        }),
      };
    }),
    width: Math.max(0, graph.layers.length * (sizes.width + sizes.gapX) - sizes.gapX),
    height: bottom - top,
    crossings: crossings(graph),
  };
}

const round = (value: number) => Math.round(value * 10) / 10;

/** A line through points that turns at 45 degrees, as on a circuit board. */
export function circuit(points: [number, number][]): string {
  const [first, ...rest] = points;
  if (!first) return '';
  let [x0, y0] = first;
  let path = `M${round(x0)} ${round(y0)}`;
  for (const [x1, y1] of rest) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const rise = Math.abs(dy);
    if (rise < 0.5) path += `H${round(x1)}`;
    else if (rise <= dx - 12) {
      const lead = (dx - rise) / 2;
      path += `H${round(x0 + lead)}L${round(x0 + lead + rise)} ${round(y1)}H${round(x1)}`;
    } else {
      const bend = Math.min(10, rise / 2);
      const way = Math.sign(dy);
      path += `H${round(x0 + dx / 2 - bend)}l${bend} ${way * bend}V${round(y1 - way * bend)}l${bend} ${way * bend}H${round(x1)}`;
    }
    [x0, y0] = [x1, y1];
  }
  return path;
}
