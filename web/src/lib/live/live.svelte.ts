// One event stream per browser. The tab that holds the lock reads it and tells the others; when it goes, another takes
// over where it stopped.
import { raw } from '../api';
import type { Change } from '../types';
import { backoff, read } from './sse';

const LOCK = 'nexusmon.events';
/** The server sends something every fifteen seconds. */
const PATIENCE = 40_000;
export type LineState = 'connecting' | 'live' | 'resync' | 'offline';

type Told =
  | { kind: 'change'; change: Change }
  | { kind: 'beat'; at: number; seq: number | null }
  | { kind: 'state'; state: LineState; at: number; seq: number | null }
  | { kind: 'hello' };

type Listener = (change: Change | null) => void;

class Live {
  state = $state<LineState>('connecting');
  /** When anything was last heard. */
  heard = $state(0);
  seq = $state<number | null>(null);
  #listeners = new Set<Listener>();
  #channel: BroadcastChannel | null = null;
  #leading = false;
  /** Nothing can have been missed since what is shown was fetched. */
  #sure = false;
  #stop: AbortController | null = null;
  #watch = 0;
  #wake: (() => void) | null = null;

  /** Calls `listener` with each change, and with null when everything should be looked at again. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** From `after` on, which everything shown holds; without it, from now on, and everything is looked at again. */
  start(after?: number) {
    if (this.#stop) return;
    if (this.seq === null && after !== undefined) {
      this.seq = after;
      this.#sure = true;
    }
    const stop = new AbortController();
    this.#stop = stop;
    this.state = 'connecting';
    this.#channel = 'BroadcastChannel' in window ? new BroadcastChannel(LOCK) : null;
    this.#channel?.addEventListener('message', (event: MessageEvent<Told>) => this.#hear(event.data));
    this.#channel?.postMessage({ kind: 'hello' } satisfies Told);
    // Sleep stops timers and streams without a word.
    document.addEventListener('visibilitychange', this.#awake);
    addEventListener('online', this.#awake);
    this.#watch = window.setInterval(() => {
      if (!this.#leading && this.state === 'live' && Date.now() - this.heard > PATIENCE) this.state = 'resync';
    }, 5000);
    // Locks need a secure context; without them every tab has its own stream.
    if (navigator.locks) navigator.locks.request(LOCK, { signal: stop.signal }, () => this.#lead(stop.signal)).catch(() => undefined);
    else void this.#lead(stop.signal);
  }

  end() {
    this.#stop?.abort();
    this.#stop = null;
    this.#leading = false;
    this.#channel?.close();
    this.#channel = null;
    clearInterval(this.#watch);
    document.removeEventListener('visibilitychange', this.#awake);
    removeEventListener('online', this.#awake);
  }

  #awake = () => {
    if (document.visibilityState !== 'visible') return;
    if (Date.now() - this.heard > PATIENCE || this.state !== 'live') this.#wake?.();
  };

  #hear(told: Told) {
    if (told.kind === 'hello') {
      if (this.#leading) this.#channel?.postMessage({ kind: 'state', state: this.state, at: this.heard, seq: this.seq } satisfies Told);
    } else if (!this.#leading) this.#take(told);
  }

  #tell(told: Told) {
    if (this.#take(told)) this.#channel?.postMessage(told);
  }

  /** False where it was heard before. */
  #take(told: Told): boolean {
    if (told.kind === 'hello') return false;
    if (told.kind === 'change') {
      this.heard = Date.now();
      const { seq } = told.change;
      if (seq !== null && seq !== undefined) {
        // A change heard twice (from the old leader and the new) is told once.
        if (this.seq !== null && seq <= this.seq) return false;
        this.seq = seq;
      }
      for (const listener of [...this.#listeners]) listener(told.change);
      return true;
    }
    this.heard = told.at;
    // Another tab is further: what it heard before this one listened was told to nobody here.
    const missed = told.seq !== null && this.seq !== null && told.seq > this.seq;
    if (told.seq !== null) this.seq = Math.max(this.seq ?? 0, told.seq);
    if (told.kind === 'state') {
      const again = told.state === 'live' && (missed || (this.state !== 'live' && !this.#sure));
      if (told.state === 'live') this.#sure = false;
      this.state = told.state;
      if (again) for (const listener of [...this.#listeners]) listener(null);
    } else {
      if (this.state !== 'live') this.state = 'live';
      if (missed) for (const listener of [...this.#listeners]) listener(null);
    }
    return true;
  }

  async #lead(signal: AbortSignal) {
    this.#leading = true;
    let tries = 0;
    while (!signal.aborted) {
      const line = new AbortController();
      const abort = () => line.abort();
      signal.addEventListener('abort', abort);
      let woken = false;
      this.#wake = () => {
        woken = true;
        line.abort();
      };
      try {
        const headers: Record<string, string> = { accept: 'text/event-stream' };
        if (this.seq !== null) headers['last-event-id'] = String(this.seq);
        const answer = await raw('/v1/events', { headers, signal: line.signal, cache: 'no-store' });
        tries = 0;
        this.#tell({ kind: 'state', state: 'live', at: Date.now(), seq: this.seq });
        await read(answer, line.signal, PATIENCE, (sent) => {
          if (sent?.event === 'change') this.#tell({ kind: 'change', change: JSON.parse(sent.data) as Change });
          else this.#tell({ kind: 'beat', at: Date.now(), seq: this.seq });
        });
      } catch {
        // Refused under a session that was replaced, the next try holds; where it is over, the session ends all of this.
      } finally {
        signal.removeEventListener('abort', abort);
      }
      if (signal.aborted) break;
      tries += 1;
      this.#tell({ kind: 'state', state: navigator.onLine && tries < 4 ? 'resync' : 'offline', at: this.heard, seq: this.seq });
      if (!woken) {
        await new Promise<void>((resolve) => {
          const timer = window.setTimeout(resolve, backoff(tries));
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener('abort', () => this.#wake?.(), { once: true });
        });
      }
    }
    this.#leading = false;
  }
}

export const live = new Live();
