// Standing approvals as they are read: the bounds in words, and what nearly fitted.
import type { Glyph } from '$lib/states';
import type { Approval } from '$lib/types';
import type { components } from '../../../generated/schema';

export type Standing = components['schemas']['StandingApproval'];
const LOOKS: Record<string, { glyph: Glyph; label: string }> = {
  pending: { glyph: 'wait', label: 'Waits for signatures' },
  active: { glyph: 'ok', label: 'In force' },
  spent: { glyph: 'skip', label: 'Spent' },
  expired: { glyph: 'skip', label: 'Ended' },
  revoked: { glyph: 'fail', label: 'Revoked' },
  refused: { glyph: 'fail', label: 'Refused' },
};
export const standingLook = (status: string): { glyph: Glyph; label: string } => LOOKS[status] ?? { glyph: 'queue', label: status };
export const isOpen = (status: string): boolean => status === 'pending' || status === 'active';

/** What is signed, as far as it is what this console knows. */
export interface Bounds {
  rank: string;
  machines: string[];
  schema: Record<string, unknown>;
}
const object = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {});
export function boundsOf(document: unknown): Bounds {
  const read = object(document);
  const { agents, agent } = object(read.selector);
  return {
    rank: typeof read.max_rank === 'string' ? read.max_rank : '',
    machines: [...(Array.isArray(agents) ? agents : []), ...(typeof agent === 'string' ? [agent] : [])].filter((each) => typeof each === 'string'),
    schema: object(read.input_schema),
  };
}

export interface Miss {
  approval: string;
  mission: string | null;
  summary: string;
  why: string;
}
const MISSED = /^the standing approval (sta_[0-9a-z]{26}) does not cover it: ([^]*)$/;
/** Work that waits now although a standing approval nearly covered it, by standing approval. */
export function nearMisses(pending: readonly Approval[]): Map<string, Miss[]> {
  const found = new Map<string, Miss[]>();
  for (const approval of pending) {
    for (const note of approval.notes) {
      const [, id, why] = MISSED.exec(note) ?? [];
      if (!id || !why) continue;
      found.set(id, [...(found.get(id) ?? []), { approval: approval.id, mission: approval.mission ?? null, summary: approval.summary, why }]);
    }
  }
  return found;
}

export interface Asked {
  playbook: string;
  uses: number;
  hours: number;
  agent: string;
  label: string;
}
/** One word of a shell, whatever is in it. */
const quoted = (text: string): string => (/^[A-Za-z0-9@._=/:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
/** The command line that asks for it and signs it with the key that lies there. */
export function commandOf({ playbook, uses, hours, agent, label }: Asked): string {
  return ['nexusmon standing add', quoted(playbook || 'PLAYBOOK'), `--uses ${uses}`, `--valid-for ${hours}h`, agent && `--agent ${quoted(agent)}`, label && `--label ${quoted(label)}`, '--comment "…"'].filter(Boolean).join(' ');
}
