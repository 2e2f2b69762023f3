// What a belief rests on: how it is typed, what of it is sent, and where it leads.
import { at } from '$lib/router.svelte';
import { short } from '$lib/text';
import type { BeliefDetail } from '$lib/types';

export type Evidence = BeliefDetail['history'][number]['evidence'][number];

export const KINDS = [
  ['mission', 'Mission', 'mis_…'],
  ['task', 'Task', 'tsk_…'],
  ['artifact', 'Artifact', 'art_…'],
  ['review', 'Review', 'rev_…'],
  ['agent', 'Agent', 'agt_…'],
  ['audit', 'Entry of the audit log', 'its number'],
  ['note', 'Note', 'in your own words'],
] as const;

const PAGES: Record<string, string> = { mission: '/missions/', artifact: '/vault/', agent: '/agents/', audit: '/audit?entry=' };
const SHAPE = /^([a-z]{3}_[0-9a-z]{26}|\d{1,15})$/;

/** The screen that shows it; none where it has no screen, or is not what its kind says. */
export const leads = ({ kind, id }: Evidence): string | null => (id && PAGES[kind] && SHAPE.test(id) ? at(PAGES[kind] + id) : null);
export const named = ({ kind, id }: Evidence): string => (id ? `${kind} ${/^\d+$/.test(id) ? id : short(id, 4, 6)}` : kind);

/** A row of the form. */
export interface Row { kind: string; id: string; note: string }
export const blank = (): Row => ({ kind: 'mission', id: '', note: '' });

/** What is sent: rows in which nothing was typed are none. */
export const filled = (rows: readonly Row[]): Evidence[] =>
  rows.flatMap(({ kind, id, note }) => {
    const [ref, said] = [id.trim(), note.trim()];
    if (!ref && !said) return [];
    return [kind === 'note' ? { kind, note: said } : { kind, id: ref, ...(said ? { note: said } : {}) }];
  });
