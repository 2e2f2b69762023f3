// When tasks waited and ran, on one axis. Stretches in which nothing ran are pressed together and say how long they were.
import type { Graph } from '$lib/dag/fold';
import type { Attempt, Task } from '$lib/types';

export interface Piece {
  kind: 'wait' | 'pause' | 'run';
  /** Milliseconds. */
  from: number;
  to: number;
  /** Of a run. */
  attempt: number;
  task: Task;
  status: 'ok' | 'fail' | 'run' | 'doubt' | 'skip' | 'wait' | 'queue' | 'block';
}
export interface Row {
  key: string;
  name: string;
  task: Task;
  /** Of a folded fan-out. */
  children: Task[] | null;
  pieces: Piece[];
  /** When it could have started; null while something it needs is not over. */
  ready: number | null;
  started: number | null;
  ended: number | null;
  /** How long it ran, its attempts together; of a fan-out from first to last. */
  ran: number;
  /** Taken over from the mission it is a rerun of. */
  kept: boolean;
  /** On the chain that decided how long all of it took. */
  chain: boolean;
}
export interface Scale {
  origin: number;
  /** Where a time stands, 0 to 1. */
  place: (time: number) => number;
  gaps: { from: number; to: number; seconds: number }[];
  ticks: { at: number; seconds: number }[];
  /** From the first to the last moment. */
  seconds: number;
}

const time = (text: string | null | undefined): number | null => (text ? Date.parse(text) : null);
const OVER: readonly string[] = ['succeeded', 'failed', 'skipped', 'cancelled'];
const attemptStatus = (status: string): Piece['status'] => (status === 'succeeded' ? 'ok' : status === 'failed' ? 'fail' : ['live', 'granted', 'started', 'running'].includes(status) ? 'run' : status === 'uncertain' ? 'doubt' : 'skip');

/** What is known of a task's executions: all of them where they were asked for, else the last. */
function runs(task: Task, attempts: readonly Attempt[] | undefined, now: number): Piece[] {
  const all = attempts?.length ? attempts.map((each) => ({ number: each.number, from: time(each.started_at), to: time(each.finished_at), status: each.status }))
    : [{ number: task.attempt, from: time(task.started_at), to: time(task.finished_at), status: task.status === 'succeeded' || task.status === 'failed' ? task.status : task.status === 'running' ? 'running' : 'ended' }];
  return all.flatMap(({ number, from, to, status }): Piece[] => {
    // A skipped task has an end, and never ran.
    if (from === null || task.status === 'skipped') return [];
    const look = attemptStatus(status);
    return [{ kind: 'run', from, to: Math.max(from, to ?? (look === 'run' ? now : from)), attempt: number, task, status: look }];
  }).sort((a, b) => a.from - b.from);
}

function piecesOf(task: Task, attempts: readonly Attempt[] | undefined, ready: number | null, now: number): Piece[] {
  const ran = runs(task, attempts, now);
  const pieces: Piece[] = [];
  let free = ready;
  for (const run of ran) {
    if (free !== null && run.from > free) pieces.push({ kind: run.attempt > 1 ? 'pause' : 'wait', from: free, to: run.from, attempt: run.attempt, task, status: run.attempt > 1 ? 'block' : 'queue' });
    pieces.push(run);
    free = run.to;
  }
  const waits = !OVER.includes(task.status) && ran.at(-1)?.status !== 'run';
  if (waits && free !== null && now > free) pieces.push({ kind: ran.length > 0 ? 'pause' : 'wait', from: free, to: now, attempt: task.attempt, task, status: task.status === 'gated' ? 'wait' : 'queue' });
  return pieces;
}

/** Whether the list of tasks alone does not tell what became of its attempts. */
export const askedFor = (task: Task): boolean => task.attempt > 1 || (task.attempt === 1 && !OVER.includes(task.status) && !['running', 'leased'].includes(task.status));

export interface Asked {
  graph: Graph;
  children: Map<string, Task[]>;
  attempts: Map<string, readonly Attempt[]>;
  /** When the mission began. */
  began: number;
  now: number;
}

export function timeline({ graph, children, attempts, began, now }: Asked): Row[] {
  const before = new Map<string, string[]>();
  for (const { from, to } of graph.edges) before.set(to, [...(before.get(to) ?? []), from]);
  const byKey = new Map(graph.nodes.map((node) => [node.key, node]));
  const tasksOf = (key: string): Task[] => {
    const node = byKey.get(key);
    return !node ? [] : node.children ? [node.task, ...(children.get(node.task.id) ?? [])] : [node.task];
  };
  const endOf = (key: string): number | null => {
    let last: number | null = began;
    for (const task of tasksOf(key)) {
      if (!OVER.includes(task.status)) return null;
      const end = time(task.finished_at);
      if (end !== null && last !== null) last = Math.max(last, end);
    }
    return last;
  };
  const rows = graph.nodes.map((node): Row => {
    const ends = (before.get(node.key) ?? []).map(endOf);
    const ready = ends.some((end) => end === null) ? null : Math.max(began, ...(ends as number[]));
    const own = node.children ? (children.get(node.task.id) ?? []) : [node.task];
    const kept = own.every((task) => OVER.includes(task.status) && (time(task.finished_at) ?? Infinity) < began);
    const all = kept ? [] : own.flatMap((task) => piecesOf(task, attempts.get(task.task_id), ready, now));
    const ran = all.filter((piece) => piece.kind === 'run');
    // Of a fan-out only the wait for its first is drawn: the others wait behind each other's bars.
    const started = ran.length > 0 ? Math.min(...ran.map((piece) => piece.from)) : null;
    const earliest = node.children ? all.find((piece) => piece.kind === 'wait' && (started === null || piece.to <= started)) : undefined;
    const pieces = node.children ? [...(earliest ? [earliest] : []), ...ran] : all;
    const over = own.every((task) => OVER.includes(task.status));
    return {
      key: node.key, name: node.name, task: node.task, children: node.children ? own : null, pieces, ready, kept, chain: false,
      started,
      ran: started === null ? 0 : node.children ? Math.max(...ran.map((piece) => piece.to)) - started : ran.reduce((sum, piece) => sum + piece.to - piece.from, 0),
      ended: over && ran.length > 0 ? Math.max(...ran.map((piece) => piece.to)) : null,
    };
  });
  // The chain: from what ended last back to whatever each waited for.
  const row = new Map(rows.map((each) => [each.key, each]));
  const last = (each: Row): number => Math.max(-Infinity, ...each.pieces.filter((piece) => piece.kind === 'run').map((piece) => piece.to));
  let next = rows.filter((each) => each.started !== null).sort((a, b) => last(b) - last(a))[0];
  while (next && !next.chain) {
    next.chain = true;
    next = (before.get(next.key) ?? []).flatMap((key) => row.get(key) ?? []).filter((each) => each.started !== null).sort((a, b) => last(b) - last(a))[0];
  }
  return rows.sort((a, b) => (a.started ?? a.ready ?? Infinity) - (b.started ?? b.ready ?? Infinity));
}

/** A silence is pressed when it is longer than this share of all that ran and these milliseconds, to this share of it. */
const LONG = 0.12;
const LEAST = 2000;
const PRESSED = 0.06;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

export function scale(rows: readonly Row[], began: number, ticks = 8): Scale {
  const pieces = rows.flatMap((row) => row.pieces);
  const ran = pieces.filter((piece) => piece.kind === 'run').sort((a, b) => a.from - b.from);
  const end = Math.max(began + 1, ...pieces.map((piece) => piece.to));
  const origin = Math.min(began, ...ran.map((piece) => piece.from));
  // Stretches in which something ran, joined; between them, silences.
  const silences: { from: number; to: number }[] = [];
  let busy = 0;
  let until = origin;
  for (const piece of ran) {
    if (piece.from > until) silences.push({ from: until, to: piece.from });
    busy += Math.max(0, piece.to - Math.max(piece.from, until));
    until = Math.max(until, piece.to);
  }
  if (end > until) silences.push({ from: until, to: end });
  // Where nothing ran at all there is nothing to press against.
  const long = busy > 0 ? silences.filter(({ from, to }) => to - from > Math.max(LEAST, busy * LONG)) : [];
  const saved = (at: number) => long.reduce((sum, { from, to }) => sum + (at <= from ? 0 : (Math.min(at, to) - from) * (1 - (busy * PRESSED) / (to - from))), 0);
  const width = Math.max(1, end - origin - saved(end));
  const place = (at: number) => Math.min(1, Math.max(0, (at - origin - saved(at)) / width));
  const step = 1000 * (STEPS.find((each) => width / 1000 / each <= ticks) ?? 604_800 * Math.ceil(width / 1000 / 604_800 / ticks));
  /** Ticks keep clear of the words that say how long a stretch was. */
  const near = (at: number) => long.some(({ from, to }) => Math.abs(place(at) - (place(from) + place(to)) / 2) < 0.5 / ticks);
  const inGap = (at: number) => long.some(({ from, to }) => at > from && at < to);
  const marks: Scale['ticks'] = [];
  // Ticks stand at whole steps; a stretch that is pressed is stepped over.
  for (let at = origin; at <= end && marks.length < 60; at += step) {
    const gap = long.find(({ from, to }) => at > from && at < to);
    if (gap) at = origin + Math.ceil((gap.to - origin) / step) * step;
    if (at <= end && !inGap(at) && !near(at)) marks.push({ at: place(at), seconds: (at - origin) / 1000 });
  }
  return { origin, place, seconds: (end - origin) / 1000, ticks: marks, gaps: long.map(({ from, to }) => ({ from: place(from), to: place(to), seconds: (to - from) / 1000 })) };
}
