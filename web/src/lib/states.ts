// What states look like and are called. One place, so that a word means the same everywhere.
import type { MissionStatus, TaskStatus } from './types';

export type Glyph = 'ok' | 'run' | 'wait' | 'doubt' | 'fail' | 'queue' | 'block' | 'skip';
interface Look {
  glyph: Glyph;
  label: string;
}

export const MISSION: Record<MissionStatus, Look> = {
  planning: { glyph: 'run', label: 'Planning' },
  needs_plan: { glyph: 'wait', label: 'Needs a plan' },
  awaiting_approval: { glyph: 'wait', label: 'Awaiting approval' },
  ready: { glyph: 'queue', label: 'Ready' },
  running: { glyph: 'run', label: 'Running' },
  paused: { glyph: 'block', label: 'Paused' },
  cancelling: { glyph: 'block', label: 'Cancelling' },
  succeeded: { glyph: 'ok', label: 'Succeeded' },
  failed: { glyph: 'fail', label: 'Failed' },
  cancelled: { glyph: 'skip', label: 'Cancelled' },
  rejected: { glyph: 'fail', label: 'Rejected' },
  expired: { glyph: 'skip', label: 'Expired' },
};

export const TASK: Record<TaskStatus, Look> = {
  pending: { glyph: 'queue', label: 'Pending' },
  gated: { glyph: 'wait', label: 'Gated' },
  ready: { glyph: 'queue', label: 'Ready' },
  leased: { glyph: 'run', label: 'Starting' },
  running: { glyph: 'run', label: 'Running' },
  backoff: { glyph: 'block', label: 'Backing off' },
  uncertain: { glyph: 'doubt', label: 'Uncertain' },
  succeeded: { glyph: 'ok', label: 'Succeeded' },
  failed: { glyph: 'fail', label: 'Failed' },
  skipped: { glyph: 'skip', label: 'Skipped' },
  cancelled: { glyph: 'skip', label: 'Cancelled' },
};

const ATTEMPT: Record<string, Look> = {
  live: { glyph: 'run', label: 'Live' },
  granted: { glyph: 'run', label: 'Granted' },
  started: { glyph: 'run', label: 'Running' },
  running: { glyph: 'run', label: 'Running' },
  succeeded: { glyph: 'ok', label: 'Succeeded' },
  failed: { glyph: 'fail', label: 'Failed' },
};
export const attemptLook = (status: string): Look => ATTEMPT[status] ?? { glyph: 'skip', label: words(status) };

const AGENT: Record<string, Look> = {
  online: { glyph: 'ok', label: 'Online' },
  suspect: { glyph: 'doubt', label: 'Suspect' },
  offline: { glyph: 'queue', label: 'Offline' },
  draining: { glyph: 'block', label: 'Draining' },
  paused: { glyph: 'block', label: 'Paused' },
  quarantined: { glyph: 'fail', label: 'Quarantined' },
  revoked: { glyph: 'skip', label: 'Revoked' },
  locked: { glyph: 'fail', label: 'Locked' },
};
export const agentLook = (status: string): Look => AGENT[status] ?? { glyph: 'queue', label: words(status) };

const APPROVAL: Record<string, Look> = {
  pending: { glyph: 'wait', label: 'Pending' },
  approved: { glyph: 'ok', label: 'Approved' },
  rejected: { glyph: 'fail', label: 'Rejected' },
  expired: { glyph: 'skip', label: 'Expired' },
  void: { glyph: 'skip', label: 'Void' },
  open: { glyph: 'wait', label: 'Open' },
  accepted: { glyph: 'ok', label: 'Accepted' },
  covered: { glyph: 'ok', label: 'Covered' },
};
export const approvalLook = (status: string): Look => APPROVAL[status] ?? { glyph: 'queue', label: words(status) };

const OVER: readonly MissionStatus[] = ['succeeded', 'failed', 'cancelled', 'rejected', 'expired'];
export const isOver = (status: MissionStatus) => OVER.includes(status);
const DONE: readonly TaskStatus[] = ['succeeded', 'failed', 'skipped', 'cancelled'];
export const isDone = (status: TaskStatus) => DONE.includes(status);

/** `need_failed` as words: "Need failed". */
export function words(name: string): string {
  const text = name.replaceAll(/[_.]/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
