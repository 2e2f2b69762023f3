// Scrolling further than browsers let an element be tall: the scroll bar is scaled, the wheel is not.

/** Below every engine's limit of an element's height. */
export const TALLEST = 8_000_000;

export interface Scale {
  /** Height of all rows. */
  total: number;
  /** Height of the element that stands for them. */
  physical: number;
  view: number;
}

export function scaleOf(rows: number, rowHeight: number, view: number): Scale {
  const total = rows * rowHeight;
  return { total, physical: Math.min(total, TALLEST), view };
}

const range = (length: number, view: number) => Math.max(1, length - view);
/** Where the scroll bar stands when the rows are scrolled to `virtual`. */
export const toPhysical = (scale: Scale, virtual: number): number => (virtual / range(scale.total, scale.view)) * range(scale.physical, scale.view);
/** Where the rows are when the scroll bar stands at `physical`. */
export const toVirtual = (scale: Scale, physical: number): number => (physical / range(scale.physical, scale.view)) * range(scale.total, scale.view);
export const clamp = (scale: Scale, virtual: number): number => Math.min(Math.max(0, virtual), Math.max(0, scale.total - scale.view));

/** The rows' place after the scroll bar moved from `before` to `now`: a nudge moves by pixels, a drag by proportion. */
export function scrolled(scale: Scale, virtual: number, before: number, now: number): number {
  if (now <= 0) return 0;
  if (now >= scale.physical - scale.view - 1) return clamp(scale, scale.total);
  const by = now - before;
  if (scale.physical < scale.total && Math.abs(by) < scale.view) return clamp(scale, virtual + by);
  return clamp(scale, toVirtual(scale, now));
}
