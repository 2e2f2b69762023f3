// The address is the state: every screen, filter, tab, task and line range has one.

export const BASE = '/organism';

class Router {
  /** Below the base, without a slash at the end: `/missions`. */
  path = $state('/');
  query = $state(new URLSearchParams());
  #told = 0;

  constructor() {
    this.#read();
    addEventListener('popstate', () => this.#read());
  }

  #read() {
    this.path = location.pathname.slice(BASE.length).replace(/\/+$/, '') || '/';
    this.query = new URLSearchParams(location.search);
  }

  /** Goes to a path below the base. */
  go(to: string, { replace = false } = {}) {
    const target = BASE + (to === '/' ? '' : to);
    if (target === location.pathname + location.search) return;
    if (replace) history.replaceState(null, '', target);
    else history.pushState(null, '', target);
    this.#read();
  }

  get(name: string): string {
    return this.query.get(name) ?? '';
  }

  /** Sets or, when empty, removes parameters of the address. What is typed replaces; what is chosen can be undone. */
  set(changes: Record<string, string | null>, { replace = true } = {}) {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    this.go(this.path + (text ? `?${text}` : ''), { replace });
  }

  /** Like `set`, but only once nothing has been typed for a moment. */
  setSoon(changes: Record<string, string | null>, pause = 250) {
    clearTimeout(this.#told);
    this.#told = window.setTimeout(() => this.set(changes), pause);
  }
}

export const router = new Router();

/** The address of a path below the base. */
export const at = (path: string): string => BASE + path;

/** Turns clicks on our own links into navigation. */
export function interceptLinks(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest('a');
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
  if (link.pathname !== BASE && !link.pathname.startsWith(`${BASE}/`)) return;
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
  event.preventDefault();
  router.go(link.pathname.slice(BASE.length) + link.search || '/');
}
