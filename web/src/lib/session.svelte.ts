// Who is logged in. The cookie is the session; this only remembers that there may be one.
import { api, ok, Refused, said, signedOut } from './api';
import type { components } from '../../generated/schema';

type Me = components['schemas']['Me'];
const HINT = 'nexusmon.session';

class Session {
  me = $state<Me | null>(null);
  state = $state<'asking' | 'in' | 'out' | 'broken'>('asking');
  problem = $state('');

  constructor() {
    signedOut.addEventListener('over', () => {
      if (this.state === 'in') this.#over();
    });
    // Another tab logged in or out.
    addEventListener('storage', (event) => event.key === HINT && (event.newValue ? this.state === 'out' && void this.ask() : this.#over()));
  }

  #over() {
    this.me = null;
    this.state = 'out';
    localStorage.removeItem(HINT);
  }

  /** Asks who we are, if we may be anybody. */
  async ask() {
    if (!localStorage.getItem(HINT)) {
      this.state = 'out';
      return;
    }
    this.state = 'asking';
    try {
      this.me = await ok(api.GET('/v1/auth/me'));
      this.state = 'in';
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) this.#over();
      else {
        this.problem = said(error);
        this.state = 'broken';
      }
    }
  }

  async login(key: string) {
    await ok(api.POST('/v1/auth/login', { body: { operator_key: key } }));
    localStorage.setItem(HINT, '1');
    await this.ask();
  }

  async logout() {
    await ok(api.POST('/v1/auth/logout', { body: {} })).catch(() => undefined);
    this.#over();
  }
}

export const session = new Session();
