// Where the ids in an entry lead, and how the commands that check a log are written.
import { at } from '$lib/router.svelte';
import { shown } from '$lib/text';

const PLACES: Record<string, string> = { mis: '/missions/', agt: '/agents/', apr: '/approvals/', art: '/vault/' };
export const place = (id: string): string | null => (PLACES[id.slice(0, 3)] && /^[a-z]{3}_[0-9a-z]{26}$/.test(id) ? at(PLACES[id.slice(0, 3)] + id) : null);
export const who = (id: string): string => (id.length > 20 ? `${id.slice(0, 4)}…${id.slice(-6)}` : shown(id, 30));

/** What the log knows people and machines to do; any other word can be typed. */
export const ACTIONS = [
  'agent.capabilities', 'agent.connected', 'agent.drained', 'agent.enrolled', 'agent.halt_acknowledged', 'agent.lost', 'agent.offline', 'agent.online', 'agent.paused', 'agent.quarantined', 'agent.revoked',
  'alert.raised', 'approval.decided', 'approval.expired', 'approval.requested', 'artifact.reviewed', 'audit.cosigned', 'capability.disabled', 'capability.enabled', 'evolution.verified',
  'halt.pulled', 'halt.released', 'invite.created', 'mission.approved', 'mission.cancelled', 'mission.completed', 'mission.created', 'mission.planned', 'mission.rejected', 'mission.started', 'notification.failed',
  'policy.changed', 'principal.changed', 'principal.created', 'principal.revoked', 'rate.removed', 'rate.set', 'review.decided', 'review.opened', 'roster.changed', 'session.closed', 'session.opened',
  'task.granted', 'task.resolved', 'task.settled', 'task.stale_report', 'task.started',
] as const;

export const verifyCommand = (key: string): string => `nexusmon audit export -o log.ndjson\nnexusmon audit verify log.ndjson --key '${key}' --checkpoint head.txt`;
