// Bars of a timeline: lanes are reused as soon as they are free, long silences take little room.
import type { Task, TaskStatus } from '$lib/types';

export interface Bar {
  key: string;
  status: TaskStatus;
  x: number;
  width: number;
  lane: number;
}
export interface Drawn {
  bars: Bar[];
  /** Where silences were pressed together. */
  gaps: number[];
  seconds: number;
}

const WIDTH = 1000;
const LANES = 3;
const MOST = 300;
/** A silence is pressed when it is longer than this share of all. */
const LONG = 0.15;
const PRESSED = 0.02;

export function ribbon(tasks: readonly Task[], now: number): Drawn {
  const spans = tasks
    .filter((task) => task.started_at && task.agent)
    .map((task) => ({ task, from: Date.parse(task.started_at ?? ''), to: task.finished_at ? Date.parse(task.finished_at) : now }))
    .filter((span) => span.to >= span.from)
    .sort((a, b) => a.from - b.from)
    .slice(0, MOST);
  const first = spans[0];
  if (!first) return { bars: [], gaps: [], seconds: 0 };
  const end = Math.max(...spans.map((span) => span.to));
  const all = Math.max(1, end - first.from);
  // Silences: nothing runs between `at` and the next start.
  const silences: { at: number; length: number }[] = [];
  let busy = first.from;
  for (const span of spans) {
    if (span.from - busy > all * LONG) silences.push({ at: busy, length: span.from - busy });
    busy = Math.max(busy, span.to);
  }
  const saved = (time: number) => silences.reduce((sum, { at, length }) => sum + (time >= at + length ? length - all * PRESSED : 0), 0);
  const visible = all - saved(end);
  const place = (time: number) => ((time - first.from - saved(time)) / visible) * WIDTH;
  const free: number[] = Array.from({ length: LANES }, () => -1);
  const bars = spans.map(({ task, from, to }): Bar => {
    const x = place(from);
    const width = Math.max(2, place(to) - x);
    let lane = free.findIndex((until) => until <= x);
    if (lane < 0) lane = free.indexOf(Math.min(...free));
    free[lane] = x + width;
    return { key: task.task_id, status: task.status, x, width, lane };
  });
  return { bars, gaps: silences.map(({ at, length }) => place(at + length) - (WIDTH * PRESSED * all) / visible / 2), seconds: all / 1000 };
}
