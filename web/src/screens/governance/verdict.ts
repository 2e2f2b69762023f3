// What a set of policies decides about a mission, in words and shapes.
import { plural } from '$lib/text';
import type { Glyph } from '$lib/states';
import type { components } from '../../../generated/schema';

export type ReplayVerdict = components['schemas']['ReplayVerdict'];
export type PolicyReplay = components['schemas']['PolicyReplay'];

const LOOK: Record<string, { glyph: Glyph; label: string; order: number }> = {
  allow: { glyph: 'ok', label: 'Runs at once', order: 0 },
  flag: { glyph: 'run', label: 'Runs, reviewed after', order: 1 },
  hold: { glyph: 'wait', label: 'Waits for people', order: 2 },
  deny: { glyph: 'fail', label: 'Denied', order: 3 },
};
const unknown = (verdict: string) => ({ glyph: 'doubt' as Glyph, label: verdict, order: 9 });
export const verdictLook = (verdict: string) => LOOK[verdict] ?? unknown(verdict);
export const verdictText = ({ verdict, approvals_needed: needed }: ReplayVerdict): string =>
  verdict === 'hold' && needed > 0 ? `Waits for ${plural(needed, 'approval')}` : verdictLook(verdict).label;

/** How many go from one verdict to another, the gravest change first. */
export function moves(replay: PolicyReplay): { from: string; to: string; amount: number; looser: boolean }[] {
  const found = new Map<string, { from: string; to: string; amount: number; looser: boolean }>();
  for (const { current, proposed } of replay.differences) {
    const key = `${current.verdict} ${proposed.verdict}`;
    const own = found.get(key) ?? {
      from: current.verdict, to: proposed.verdict, amount: 0,
      looser: verdictLook(proposed.verdict).order < verdictLook(current.verdict).order || (current.verdict === proposed.verdict && proposed.approvals_needed < current.approvals_needed),
    };
    own.amount += 1;
    found.set(key, own);
  }
  return [...found.values()].sort((a, b) => Number(b.looser) - Number(a.looser) || b.amount - a.amount);
}
