// What each trait is for, and where it stands in the tree.
import type { IconName } from '$ui/icons';

export interface TraitAbout {
  lane: number;
  icon: IconName;
  /** What the system may then do unasked. */
  may: string;
}
export const LANES = ['Execution', 'Cognition', 'Voice', 'Authority'] as const;
export const TRAITS: Record<string, TraitAbout> = {
  recall: { lane: 1, icon: 'cognition', may: 'May read its memory when it plans and answers: past missions, plans, outcomes and the text of artifacts.' },
  companion: { lane: 2, icon: 'user', may: 'May talk about live state, explain why something waits or failed, and draft missions for you to send.' },
  worker_spawn: { lane: 0, icon: 'graph', may: 'May let running tasks add tasks within their envelope.' },
  belief_track: { lane: 1, icon: 'search', may: 'May keep beliefs from outcomes and let scheduler and planner use them.' },
  autonomous_chain: { lane: 0, icon: 'link', may: 'May start a follow-up mission from an outcome, inside budgets and gates.' },
  operator_fusion: { lane: 3, icon: 'approvals', may: 'May spend standing approvals in your name, inside the bounds you signed. Never rank S.' },
  self_evolve: { lane: 1, icon: 'replay', may: 'May turn repeated good plans into active playbooks, up to rank C.' },
};
/** A trait the coordinator knows and this page does not. */
export const unknownTrait: TraitAbout = { lane: 0, icon: 'bolt', may: 'What it opens is written in the documentation.' };

export interface TraitLook {
  label: string;
  tone: 'on' | 'granted' | 'next' | 'locked' | 'suspended';
}
export function traitLook(state: string, unlockedBy: string, next: string | undefined): TraitLook {
  if (state === 'earned') return { label: 'Earned', tone: 'on' };
  if (state === 'granted') return { label: 'Granted, not earned', tone: 'granted' };
  if (state === 'suspended') return { label: 'Suspended', tone: 'suspended' };
  if (state === 'disabled') return { label: 'Disabled', tone: 'suspended' };
  return unlockedBy === next ? { label: 'Next', tone: 'next' } : { label: 'Locked', tone: 'locked' };
}
