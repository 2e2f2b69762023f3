// How far predicted durations were off, in words.
import { percent } from '$lib/text';

/**
 * Of |took − predicted| / took. What takes longer than predicted is off by less than all it took; off by more than that
 * is only what was predicted too long.
 */
export function offBy(error: number | null | undefined): [string, string] {
  if (error === null || error === undefined) return ['–', 'nothing scored yet'];
  if (error <= 1) return [percent(error), 'off, in the median'];
  const factor = 1 + error;
  return [`${factor < 10 ? factor.toFixed(1) : Math.round(factor)} times`, 'too long predicted, in the median'];
}
