// Acts on many missions: which can be chosen, and the two calls, first as a trial, then with what the trial froze.
import { api, ok } from './api';
import type { components } from '../../generated/schema';
import type { MissionSummary, Rank } from './types';

export type BulkAct = components['schemas']['BulkAct'];
export type BulkAnswer = components['schemas']['BulkAnswer'];
export type BulkOutcome = components['schemas']['BulkOutcome'];

/** What the coordinator takes at once. */
export const MOST = 200;
export const ACTS: { act: BulkAct; verb: string; done: string }[] = [
  { act: 'run', verb: 'Run', done: 'started' },
  { act: 'pause', verb: 'Pause', done: 'paused' },
  { act: 'resume', verb: 'Resume', done: 'resumed' },
  { act: 'cancel', verb: 'Cancel', done: 'cancelled' },
  { act: 'rerun', verb: 'Run again', done: 'run again' },
];
const LOW: readonly Rank[] = ['E', 'D', 'C'];

/** Graver ones are handled one by one. */
export const choosable = (mission: MissionSummary): boolean => LOW.includes(mission.rank);

export const tried = (act: BulkAct, ids: readonly string[]): Promise<BulkAnswer> =>
  ok(api.POST('/v1/engine/bulk', { body: { act, dry_run: true, missions: ids.map((id) => ({ id })) } }));

/** Exactly what was tried: the same missions as they were seen, in the same order. */
export const done = (trial: BulkAnswer): Promise<BulkAnswer> =>
  ok(api.POST('/v1/engine/bulk', {
    body: { act: trial.act, dry_run: false, frozen: trial.frozen, missions: trial.items.map(({ id, status }) => ({ id, status })) },
  }));
