// What a proposal would put in the place of what: the two texts, where the proposal has any.
import { api, ok } from '$lib/api';
import type { Approval } from '$lib/types';
import { lines } from './before';

export interface Replaced { what: string; older: string; newer: string }
interface Act { kind?: unknown; from?: unknown; to?: unknown; text?: unknown }

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether there is anything to be held against each other. */
export function replaces(approval: Approval): Act | null {
  const { act } = (approval.proposal ?? {}) as { act?: Act };
  if (act?.kind === 'policy_change' && typeof act.from === 'string' && typeof act.text === 'string') return act;
  return act?.kind === 'budget' && isObject(act.from) && isObject(act.to) ? act : null;
}

/** The older set is the one the proposal names by its digest; `null` where that is not kept any more. */
export async function replaced(act: Act, signal: AbortSignal): Promise<Replaced | null> {
  if (isObject(act.from) && isObject(act.to)) return { what: 'the ceilings it has', older: lines(act.from).join('\n'), newer: lines(act.to).join('\n') };
  const now = await ok(api.GET('/v1/governance/policies', { signal }));
  if (now.digest === act.from) return { what: `version ${now.version}, which is in force`, older: now.text, newer: String(act.text) };
  const then = now.versions.find((each) => each.digest === act.from);
  if (!then) return null;
  const { text } = await ok(api.GET('/v1/governance/policies', { params: { query: { version: then.version } }, signal }));
  return { what: `version ${then.version}, which is not in force any more`, older: text, newer: String(act.text) };
}
