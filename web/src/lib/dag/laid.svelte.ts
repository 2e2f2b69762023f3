// A layout that follows a graph: computed in a Worker, the last one stays until the next is there.
import type { Asked } from './worker';
import type { Graph } from './fold';
import type { Layout, Sizes } from './layout';
import address from './worker.ts?worker&url';

/** Under Trusted Types only a policy makes an address a script; this one knows one address. */
const policy = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(text: string): string }): { createScriptURL(text: string): string } } }).trustedTypes?.createPolicy('nexusmon-worker', {
  createScriptURL: () => address,
});

export class Laid {
  layout = $state.raw<Layout | null>(null);
  problem = $state('');
  #turn = 0;

  constructor(graph: () => Graph, sizes: Sizes) {
    // Only the shape matters: states change all the time.
    const shape = $derived.by(() => {
      const { nodes, edges } = graph();
      return JSON.stringify([nodes.map((node) => node.key), edges.map((edge) => [edge.from, edge.to])]);
    });
    $effect(() => {
      const worker = new Worker(policy?.createScriptURL(address) ?? address, { type: 'module' });
      worker.onmessage = ({ data }: MessageEvent<{ turn: number; layout?: Layout; problem?: string }>) => {
        if (data.turn !== this.#turn) return;
        if (data.layout) this.layout = data.layout;
        this.problem = data.problem ?? '';
      };
      worker.onerror = () => (this.problem = 'The drawing could not be computed.');
      $effect(() => {
        const [keys, pairs] = JSON.parse(shape) as [string[], [string, string][]];
        this.#turn += 1;
        worker.postMessage({ turn: this.#turn, nodes: keys.map((id) => ({ id })), edges: pairs.map(([from, to]) => ({ from, to })), sizes } satisfies Asked);
      });
      return () => worker.terminate();
    });
  }
}
