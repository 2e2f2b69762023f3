// Which rows of a long list are in sight. Only those are drawn; what lies above and below is empty space of their height,
// so that the scroll bar tells the truth.

import { untrack } from 'svelte';

export interface Sight {
  from: number;
  to: number;
}

/** More than this is never drawn, however tall the window. */
export const MOST_ROWS = 56;

/** The rows between `top` and `top + view`, with a few around them. */
export function sight(top: number, view: number, row: number, count: number): Sight {
  const around = 8;
  const wanted = Math.min(MOST_ROWS, Math.ceil(Math.max(view, row) / row) + 2 * around);
  const first = Math.floor(top / row) - around;
  const from = Math.max(0, Math.min(first, count - wanted));
  return { from, to: Math.min(count, from + wanted) };
}

interface Wish {
  /** The element that holds the rows and nothing else. */
  list: () => HTMLElement | undefined;
  count: () => number;
  /** Height of a row in pixels, with its border. */
  row: () => number;
  /** Told when the end comes near. */
  end?: () => void;
}

/** Whatever an element scrolls in now: what may scroll but holds everything is passed over. */
function scroller(element: HTMLElement): HTMLElement | null {
  for (let box = element.parentElement; box; box = box.parentElement) {
    if (box.scrollHeight > box.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(box).overflowY)) return box;
  }
  return null;
}

export class Rows {
  from = $state(0);
  to = $state(40);
  #wish: Wish;

  constructor(wish: Wish) {
    this.#wish = wish;
    $effect(() => {
      const look = () => this.#look();
      // Whichever box around the list is scrolled, it is heard here.
      document.addEventListener('scroll', look, { capture: true, passive: true });
      addEventListener('resize', look);
      return () => {
        document.removeEventListener('scroll', look, { capture: true });
        removeEventListener('resize', look);
      };
    });
    $effect(() => {
      void wish.count();
      void wish.row();
      void wish.list();
      untrack(() => this.#look());
    });
  }

  #look() {
    const list = this.#wish.list();
    if (!list) return;
    const count = this.#wish.count();
    const box = scroller(list)?.getBoundingClientRect();
    const [top, bottom] = [Math.max(0, box?.top ?? 0), Math.min(innerHeight, box?.bottom ?? innerHeight)];
    const { from, to } = sight(top - list.getBoundingClientRect().top, bottom - top, this.#wish.row(), count);
    this.from = from;
    this.to = to;
    if (to > count - 10) this.#wish.end?.();
  }

  /** The space above and below what is drawn. */
  get above(): number {
    return Math.min(this.from, this.#wish.count()) * this.#wish.row();
  }
  get below(): number {
    return Math.max(0, this.#wish.count() - this.to) * this.#wish.row();
  }

  /** Scrolls so that row `at`, which carries `data-at`, is drawn and in sight; then calls `then` with it. */
  show(at: number, then: (row: HTMLElement) => void) {
    const list = this.#wish.list();
    const box = list && scroller(list);
    if (list && box) {
      const row = this.#wish.row();
      const top = list.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop + at * row;
      if (top < box.scrollTop) box.scrollTop = top - row;
      else if (top + row > box.scrollTop + box.clientHeight) box.scrollTop = top + 2 * row - box.clientHeight;
      this.#look();
    }
    const there = () => list?.querySelector<HTMLElement>(`[data-at="${at}"]`);
    const drawn = there();
    // A key that is held is faster than frames: what is drawn already is gone to at once.
    if (drawn) then(drawn);
    else requestAnimationFrame(() => {
      const found = there();
      if (found) then(found);
    });
  }
}

/** Whether the window is a phone's; rows are taller there. */
export class Narrow {
  is = $state(false);
  constructor() {
    const query = matchMedia('(max-width: 760px)');
    this.is = query.matches;
    $effect(() => {
      const change = () => (this.is = query.matches);
      query.addEventListener('change', change);
      return () => query.removeEventListener('change', change);
    });
  }
}
