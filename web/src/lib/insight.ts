// Where a row of tabs is longer than the window, the one that is open is in sight: at first, when another is opened,
// and when the window gets another size. Nothing else moves it, so that a hand that scrolls it is not fought.
import type { Action } from 'svelte/action';

export const inSight: Action<HTMLElement, string> = (row) => {
  const show = () => {
    const open = row.querySelector<HTMLElement>('[aria-current="page"], [aria-selected="true"]');
    if (!open) return;
    const [whole, part] = [row.getBoundingClientRect(), open.getBoundingClientRect()];
    row.scrollLeft += part.left + part.width / 2 - (whole.left + whole.width / 2);
  };
  const sizes = new ResizeObserver(show);
  sizes.observe(row);
  return { update: () => void requestAnimationFrame(show), destroy: () => sizes.disconnect() };
};
