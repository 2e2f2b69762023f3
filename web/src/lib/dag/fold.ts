// Tasks as a graph shows them: children of a fan-out beside each other while they are few, in one node when many.
import { TASK, type Glyph } from '../states';
import type { Task } from '../types';
import type { LayoutEdge } from './layout';

export interface GraphNode {
  /** Unique in the graph. */
  key: string;
  /** Id in the plan, with the place in its fan-out. */
  name: string;
  task: Task;
  glyph: Glyph;
  /** States of the children, when folded. */
  children: Glyph[] | null;
}
export interface Graph {
  nodes: GraphNode[];
  edges: LayoutEdge[];
}

/** More children than this are folded. */
export const FOLD = 8;

export function fold(tasks: readonly Task[], edges: readonly LayoutEdge[]): Graph {
  const children = new Map<string, Task[]>();
  for (const task of tasks) {
    if (task.index === null || task.index === undefined) continue;
    const own = children.get(task.id);
    if (own) own.push(task);
    else children.set(task.id, [task]);
  }
  const nodes: GraphNode[] = [];
  const keys = new Map<string, string[]>();
  for (const task of tasks) {
    if (task.index !== null && task.index !== undefined) continue;
    // What an attempt added that was not the last: another of its name may have come since.
    if (task.skip_reason === 'superseded') continue;
    const own = (children.get(task.id) ?? []).sort((a, b) => (a.index ?? 0) - (b.index ?? 0));
    const apart = own.length > 0 && own.length <= FOLD;
    const made = (apart ? own : [task]).map((each): GraphNode => {
      const indexed = each.index !== null && each.index !== undefined;
      return {
        key: each.task_id,
        name: indexed ? `${each.id}[${each.index}]` : each.id,
        task: each,
        glyph: TASK[each.status].glyph,
        children: indexed || own.length === 0 ? null : own.map((child) => TASK[child.status].glyph),
      };
    });
    nodes.push(...made);
    keys.set(task.id, made.map((node) => node.key));
  }
  const seen = new Set<string>();
  const once = edges.filter(({ from, to }) => !seen.has(`${from} ${to}`) && seen.add(`${from} ${to}`));
  return {
    nodes,
    edges: once.flatMap(({ from, to }) => (keys.get(from) ?? []).flatMap((a) => (keys.get(to) ?? []).map((b) => ({ from: a, to: b })))),
  };
}

/** Tasks in an order in which each comes after what it needs, with how deep it lies. */
export function ordered(graph: Graph): { node: GraphNode; depth: number }[] {
  const before = new Map<string, string[]>();
  for (const { from, to } of graph.edges) before.set(to, [...(before.get(to) ?? []), from]);
  const depth = new Map<string, number>();
  const byKey = new Map(graph.nodes.map((node) => [node.key, node]));
  // Plans may be long chains: no recursion.
  for (const start of graph.nodes) {
    const path = [start.key];
    while (path.length > 0) {
      const key = path.at(-1) as string;
      const open = depth.has(key) ? undefined : (before.get(key) ?? []).find((each) => !depth.has(each) && byKey.has(each) && !path.includes(each));
      if (open) path.push(open);
      else {
        if (!depth.has(key)) depth.set(key, Math.max(0, ...(before.get(key) ?? []).map((each) => (depth.get(each) ?? -1) + 1)));
        path.pop();
      }
    }
  }
  return graph.nodes
    .map((node) => ({ node, depth: depth.get(node.key) ?? 0 }))
    .sort((a, b) => a.depth - b.depth);
}
