// What an approval is about, in a line.
import { shown, withTimes } from './text';
import { words } from './states';
import type { Approval } from './types';

/** These lines the coordinator writes itself; the others are a goal, and a goal is shown as it was typed. */
const WRITTEN = new Set(['standing_approval', 'trait_grant', 'halt_release', 'policy_change', 'budget']);
export function summaryOf(each: Pick<Approval, 'summary' | 'subject_kind' | 'mission'>, most = 600): string {
  const text = shown(each.summary, most);
  if (!text) return each.mission ?? words(each.subject_kind);
  if (!WRITTEN.has(each.subject_kind)) return text;
  return withTimes(text.charAt(0).toUpperCase() + text.slice(1));
}
