// Who is logged in. The cookie is the session; this only remembers that there may be one.
import { tick } from 'svelte';
import { api, ok, Refused, said, signedOut } from './api';
import { dropDrafts } from './drafts';
import type { components } from '../../generated/schema';

type Me = components['schemas']['Me'];
/** What proves who somebody is: one of the operator key, name and password, a passkey's answer. */
export type Proof = components['schemas']['Login'];
const HINT = 'nexusmon.session';
const LINK = /^#login=([0-9a-f]{64})$/;
const WHY: Record<string, string> = {
  no_role: 'The provider knows you, but gives you no role here: ask the owner.',
  cancelled: 'The log-in at the provider was cancelled.',
  stale: 'The log-in at the provider took too long; try again.',
  revoked: 'The owner has taken your access away.',
  name_taken: 'Somebody else here has your name: ask the owner.',
  unavailable: 'The provider does not answer; try again later.',
};

class Session {
  me = $state.raw<Me | null>(null);
  state = $state<'asking' | 'in' | 'out' | 'broken'>('asking');
  problem = $state('');
  /** Why an OpenID provider's word did not log anybody in. */
  refused = $state('');
  #doubting = false;

  constructor() {
    signedOut.addEventListener('over', () => void this.#doubt());
    // A log-in link pasted where the console is open already changes nothing but the fragment.
    addEventListener('hashchange', () => LINK.test(location.hash) && void this.ask());
    // Another tab logged in or out.
    addEventListener('storage', (event) => event.key === HINT && (event.newValue ? this.state === 'out' && void this.ask() : this.#over()));
  }

  /** What was sent under a session that has been replaced meanwhile is refused, too: whether this one is over is asked. */
  async #doubt() {
    if (this.state !== 'in' || this.#doubting) return;
    this.#doubting = true;
    try {
      await ok(api.GET('/v1/auth/me'));
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) this.#over();
    } finally {
      this.#doubting = false;
    }
  }

  #over() {
    this.me = null;
    this.state = 'out';
    localStorage.removeItem(HINT);
  }

  /** Asks who we are, if we may be anybody. */
  async ask() {
    this.#returned();
    await this.#linked();
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
        // That there is no answer the page says by itself.
        this.problem = error instanceof Refused && error.status === 0 ? '' : said(error);
        this.state = 'broken';
      }
    }
  }

  /** An OpenID provider sends people back with a word in the address: that they are in, or why not. */
  #returned() {
    const address = new URL(location.href);
    const word = address.searchParams.get('login');
    if (word === null) return;
    address.searchParams.delete('login');
    history.replaceState(history.state, '', address);
    if (word === 'done') localStorage.setItem(HINT, '1');
    else this.refused = WHY[word] ?? 'The log-in at the provider did not succeed.';
  }

  /** A link of `nexusmon up` logs in once. It is taken out of the address before anything else happens. */
  async #linked() {
    const link = LINK.exec(location.hash)?.[1];
    if (!link) return;
    history.replaceState(history.state, '', location.pathname + location.search);
    this.state = 'asking';
    try {
      await ok(api.POST('/v1/auth/login', { body: { link } }));
      localStorage.setItem(HINT, '1');
    } catch (error) {
      this.refused = said(error);
    }
  }

  async login(proof: Proof) {
    await ok(api.POST('/v1/auth/login', { body: proof }));
    localStorage.setItem(HINT, '1');
    await this.ask();
  }

  /** Logs in anew without leaving the screen; somebody else's proof opens nothing here. */
  async renew(proof: Proof) {
    const { principal } = await ok(api.POST('/v1/auth/login', { body: proof }));
    if (principal === this.me?.id) {
      this.me = await ok(api.GET('/v1/auth/me'));
      return;
    }
    await this.ask();
    throw new Error('That was another person: the console is theirs now.');
  }

  async logout() {
    // Whoever comes next on this device reads nobody's drafts; a session that merely ended keeps them.
    dropDrafts();
    // First, so that no stream asks again under a session that is over.
    this.#over();
    await tick();
    await ok(api.POST('/v1/auth/logout', { body: {} })).catch(() => undefined);
  }
}

export const session = new Session();
