// The feed's filters, as they stand in the address and as the API takes them.
import type { Glyph } from '$lib/states';
import { RANKS, type MissionStatus } from '$lib/types';

export interface MissionFilter {
  status?: string;
  rank?: string;
  label?: string;
  q?: string;
  since?: string;
}

export const GROUPS: { name: string; glyph: Glyph; statuses: readonly MissionStatus[] }[] = [
  { name: 'Running', glyph: 'run', statuses: ['running', 'planning', 'cancelling'] },
  { name: 'Waiting', glyph: 'wait', statuses: ['awaiting_approval', 'needs_plan', 'paused', 'ready'] },
  { name: 'Succeeded', glyph: 'ok', statuses: ['succeeded'] },
  { name: 'Failed', glyph: 'fail', statuses: ['failed', 'rejected'] },
  { name: 'Ended early', glyph: 'skip', statuses: ['cancelled', 'expired'] },
];
/** As in the address, and as a saved filter holds them. */
export const NAMES = ['status', 'rank', 'label', 'q', 'since'] as const;

/** What the address asks for; what it cannot mean is left out. */
export function missionFilter(query: URLSearchParams): MissionFilter {
  const found: MissionFilter = {};
  for (const name of NAMES) {
    const value = query.get(name)?.trim();
    if (!value) continue;
    if (name === 'rank' && !(RANKS as readonly string[]).includes(value)) continue;
    if (name === 'since' && Number.isNaN(Date.parse(value))) continue;
    found[name] = value;
  }
  return found;
}

/** The filter as part of an address; empty when it filters nothing. */
export const filterQuery = (filter: MissionFilter): string =>
  new URLSearchParams(NAMES.flatMap((name) => (filter[name] ? [[name, filter[name]]] : []))).toString();
