// A log at the coordinator: its length, ranges of it as they are looked at, and new lines as they come. Only the ranges
// near the view are kept.
import { SvelteMap } from 'svelte/reactivity';
import { raw, Refused } from '../api';
import { backoff, read } from '../live/sse';
import type { LogLine } from '../types';

const BLOCK = 200;
const KEPT = 40;
const PATIENCE = 40_000;
/** As many finds as one answer may hold. */
export const MOST_FOUND = 1000;

export interface Found {
  lines: LogLine[];
  /** There are more than were asked for. */
  more: boolean;
}

async function lines(answer: Response): Promise<LogLine[]> {
  const text = await answer.text();
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as LogLine);
}

export class LogSource {
  count = $state(0);
  bytes = $state(0);
  sealed = $state(false);
  loaded = $state(false);
  error = $state.raw<Error | null>(null);
  #blocks = new SvelteMap<number, LogLine[]>();
  #asked = new Set<number>();
  #abort = new AbortController();
  readonly #path: string;
  readonly #attempt: number | null;

  constructor(task: string, attempt: number | null) {
    this.#path = `/v1/engine/tasks/${task}/log`;
    this.#attempt = attempt;
  }

  #query(wanted: Record<string, string | number>): string {
    const query = new URLSearchParams(Object.entries(wanted).map(([name, value]) => [name, String(value)]));
    if (this.#attempt !== null) query.set('attempt', String(this.#attempt));
    return `${this.#path}?${query.toString()}`;
  }

  async #range(from: number, most: number): Promise<LogLine[]> {
    const answer = await raw(this.#query({ from_line: from, lines: most }), { headers: { accept: 'application/x-ndjson' }, signal: this.#abort.signal });
    this.count = Math.max(this.count, Number(answer.headers.get('x-log-lines')) || 0);
    this.bytes = Math.max(this.bytes, Number(answer.headers.get('x-log-bytes')) || 0);
    this.sealed = answer.headers.get('x-log-sealed') === 'true';
    return lines(answer);
  }

  /** Learns how long it is, then follows it if it may still grow. */
  async open(follow: boolean) {
    let tries = 0;
    while (!this.#abort.signal.aborted) {
      try {
        const tail = await this.#range(-BLOCK, BLOCK);
        for (const line of tail) this.#keep(line);
        this.count = Math.max(this.count, tail.at(-1)?.n ?? 0);
        this.loaded = true;
        this.error = null;
        if (this.sealed || !follow) return;
        tries = 0;
        await this.#follow();
        if (this.sealed) return;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.error = error instanceof Error ? error : new Error(String(error));
        this.loaded = true;
        // An attempt that has written nothing yet has no log; it may come.
        if (error instanceof Refused && error.status !== 0 && error.status !== 404 && error.status < 500) return;
      }
      tries += 1;
      await new Promise((resolve) => setTimeout(resolve, backoff(tries)));
    }
  }

  async #follow() {
    const answer = await raw(`${this.#path}/live?from_line=${this.count + 1}`, { headers: { accept: 'text/event-stream' }, signal: this.#abort.signal });
    const line = new AbortController();
    const stop = () => line.abort();
    this.#abort.signal.addEventListener('abort', stop);
    await read(answer, line.signal, PATIENCE, (sent) => {
      if (sent?.event === 'line') {
        const read = JSON.parse(sent.data) as LogLine;
        this.#keep(read);
        this.bytes += read.text.length + 1;
        this.count = Math.max(this.count, read.n);
      } else if (sent?.event === 'end') {
        this.sealed = true;
        line.abort();
      }
    });
    this.#abort.signal.removeEventListener('abort', stop);
  }

  #keep(line: LogLine) {
    const at = Math.floor((line.n - 1) / BLOCK);
    const block = this.#blocks.get(at)?.slice() ?? [];
    block[(line.n - 1) % BLOCK] = line;
    this.#blocks.set(at, block);
  }

  /** Line `n`, from 1, if it is here. */
  line(n: number): LogLine | undefined {
    return this.#blocks.get(Math.floor((n - 1) / BLOCK))?.[(n - 1) % BLOCK];
  }

  /** Fetches what of `from` to `to` is not here, and forgets what lies far from it. */
  want(from: number, to: number) {
    const [first, last] = [Math.floor((from - 1) / BLOCK), Math.floor((to - 1) / BLOCK)];
    for (let at = first; at <= last; at++) {
      const block = this.#blocks.get(at);
      const size = Math.min(BLOCK, this.count - at * BLOCK);
      if (size <= 0 || this.#asked.has(at)) continue;
      if (block && Object.keys(block).length >= size) continue;
      this.#asked.add(at);
      this.#range(at * BLOCK + 1, BLOCK)
        .then((found) => this.#blocks.set(at, found))
        .catch((error: unknown) => {
          if (!this.#abort.signal.aborted) this.error = error instanceof Error ? error : new Error(String(error));
        })
        .finally(() => this.#asked.delete(at));
    }
    if (this.#blocks.size > KEPT) {
      for (const at of [...this.#blocks.keys()].sort((a, b) => Math.abs(b - first) - Math.abs(a - first)).slice(0, this.#blocks.size - KEPT)) this.#blocks.delete(at);
    }
  }

  /** Lines anywhere in it that hold `text`. The coordinator looks. */
  async find(text: string, signal: AbortSignal): Promise<Found> {
    const answer = await raw(this.#query({ search: text, lines: MOST_FOUND, from_line: 1 }), { headers: { accept: 'application/x-ndjson' }, signal });
    return { lines: await lines(answer), more: Boolean(answer.headers.get('x-log-next-line')) };
  }

  /** The text of lines `from` to `to`, for copying. */
  async text(from: number, to: number): Promise<LogLine[]> {
    return this.#range(from, Math.min(10_000, to - from + 1));
  }

  close() {
    this.#abort.abort();
  }
}
