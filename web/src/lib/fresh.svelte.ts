// Acts that take a log-in of the last minutes: done at once where there is one, else asked for and then done.
import { Refused } from './api';

/** A person decided not to log in again. */
export class NotNow extends Error {
  constructor() {
    super('Nothing was changed: it takes a new log-in.');
  }
}

class Fresh {
  asked = $state(false);
  #answer: ((logged: boolean) => void) | null = null;

  /** Does it; asks for a log-in if the coordinator wants one, and does it then. */
  async run<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== 'log_in_again') throw error;
    }
    this.#answer?.(false);
    const logged = await new Promise<boolean>((resolve) => {
      this.#answer = resolve;
      this.asked = true;
    });
    if (!logged) throw new NotNow();
    return act();
  }

  /** What came of the question. */
  answer(logged: boolean) {
    this.asked = false;
    const answer = this.#answer;
    this.#answer = null;
    answer?.(logged);
  }
}

export const fresh = new Fresh();
