// Acts that want a log-in of the last minutes: done, or asked for anew and then done.
import { Refused } from './api';

class Fresh {
  /** Who waits for a person to prove who they are. */
  waiting = $state<{ done: () => void; given: (error: Error) => void } | null>(null);

  /** Calls; if the coordinator wants a fresh log-in, asks for one and calls again. */
  async act<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Refused && error.code === 'log_in_again')) throw error;
    }
    await this.ask();
    return call();
  }

  /** Has whoever sits here log in anew. */
  ask(): Promise<void> {
    this.waiting?.given(new Error('Nothing was done.'));
    return new Promise<void>((done, given) => {
      this.waiting = { done, given };
    }).finally(() => {
      this.waiting = null;
    });
  }
}

export const fresh = new Fresh();
