// Something fetched, kept fresh by the event stream. What is shown stays while it is fetched again.
import { untrack } from 'svelte';
import { placeOf, Refused } from './api';
import { live } from './live/live.svelte';
import type { Change } from './types';

interface Wish<T> {
  /** Fetches it. May read state: when that changes it is fetched anew. */
  load: (signal: AbortSignal) => Promise<T>;
  /** What it is; when this changes, the old content is dropped instead of kept until the new is there. */
  of?: () => string;
  /** Whether a change concerns it. */
  affected?: (change: Change) => boolean;
  /** At most this often, in milliseconds. */
  calm?: number;
}

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined);
  error = $state.raw<Error | null>(null);
  loading = $state(true);
  /** When `data` was fetched. */
  at = $state(0);
  #wish: Wish<T>;
  #abort: AbortController | null = null;
  #timer = 0;
  #again = false;
  /** Up to where in the stream of events the content goes, and up to where it has to. */
  #place = -1;
  #wanted = -1;

  constructor(wish: Wish<T>) {
    this.#wish = wish;
    let before: string | undefined;
    $effect(() => {
      const now = wish.of?.() ?? '';
      if (before !== undefined && before !== now) untrack(() => this.#drop());
      before = now;
      void this.#fetch();
      return () => this.#abort?.abort();
    });
    $effect(() => {
      const ignore = live.listen((change) => {
        if (change === null || (wish.affected?.(change) ?? false)) this.soon(change?.seq ?? Infinity);
      });
      // What changed while nobody looked is fetched when somebody does.
      const look = () => document.visibilityState === 'visible' && this.#again && this.soon();
      document.addEventListener('visibilitychange', look);
      return () => {
        ignore();
        document.removeEventListener('visibilitychange', look);
        clearTimeout(this.#timer);
      };
    });
  }

  /** Whether it may be out of date. */
  get stale(): boolean {
    return this.data !== undefined && (this.error !== null || live.state === 'resync' || live.state === 'offline');
  }

  #drop() {
    this.data = undefined;
    this.error = null;
    this.at = 0;
    this.#place = -1;
  }

  /** Fetches it again in a moment, once for any number of changes; not for one that it holds already. */
  soon(upTo = Infinity) {
    if (upTo <= this.#place) return;
    this.#wanted = Math.max(this.#wanted, upTo);
    if (document.visibilityState === 'hidden') {
      this.#again = true;
      return;
    }
    if (this.#timer) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      if (this.#abort) this.#again = true;
      else if (this.#wanted > this.#place) void untrack(() => this.#fetch());
    }, this.#wish.calm ?? 250);
  }

  /** Fetches it now. */
  reload(): Promise<void> {
    return untrack(() => this.#fetch());
  }

  /** Puts in what an act has answered. */
  put(data: T) {
    this.data = data;
    this.error = null;
    this.at = Date.now();
    this.#place = placeOf(data) ?? -1;
  }

  #fetch(): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#again = false;
    this.#wanted = -1;
    const fetched = this.#wish.load(abort.signal);
    untrack(() => {
      this.loading = true;
    });
    return fetched.then(
      (data) => !abort.signal.aborted && this.put(data),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        this.error = error instanceof Error ? error : new Error(String(error));
        // What is gone is not shown any longer.
        if (error instanceof Refused && (error.status === 404 || error.status === 403)) this.data = undefined;
      },
    ).then(() => {
      if (this.#abort !== abort) return;
      this.#abort = null;
      this.loading = false;
      if (this.#again && this.#wanted > this.#place) this.soon(this.#wanted);
    });
  }
}
