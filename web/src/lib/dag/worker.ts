// Lays out graphs beside the page, so that it never stands still.
import { layout, type LayoutEdge, type LayoutNode, type Sizes } from './layout';

export interface Asked {
  turn: number;
  nodes: LayoutNode[];
  edges: LayoutEdge[];
  sizes: Sizes;
}

const worker = self as unknown as { onmessage: (event: MessageEvent<Asked>) => void; postMessage: (message: unknown) => void };

worker.onmessage = ({ data }) => {
  try {
    worker.postMessage({ turn: data.turn, layout: layout(data.nodes, data.edges, data.sizes) });
  } catch (error) {
    worker.postMessage({ turn: data.turn, problem: error instanceof Error ? error.message : String(error) });
  }
};
