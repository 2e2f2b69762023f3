// What the log says of a machine, as a person would put it.
import { words } from '$lib/states';
import { minuteTime, plural } from '$lib/text';
import type { Glyph } from '$lib/states';
import type { AuditEntry } from '$lib/types';

const SAYS: Record<string, [Glyph, string]> = {
  'agent.connected': ['ok', 'Connected'],
  'agent.lost': ['fail', 'Lost: nothing was heard of it'],
  'agent.cloned': ['fail', 'Quarantined: two machines use its identity'],
  'agent.enrolled': ['queue', 'Enrolled'],
  'agent.confirmed': ['ok', 'Let in: its words were compared'],
  'agent.words_differ': ['fail', 'Its words were said to differ'],
  'agent.drained': ['block', 'Told to drain'],
  'agent.drain_requested': ['block', 'Asked to be drained'],
  'agent.paused': ['block', 'Paused'],
  'agent.resumed': ['ok', 'Resumed'],
  'agent.quarantined': ['fail', 'Quarantined'],
  'agent.revoked': ['skip', 'Revoked for good'],
  'agent.renewed': ['ok', 'Its certificate was renewed'],
  'agent.labelled': ['queue', 'Its labels were replaced'],
  'agent.capabilities': ['queue', 'Offers other capabilities'],
  'agent.halt_acknowledged': ['block', 'Obeyed the kill switch'],
};
/** Why the coordinator ended its session, as it was told to the agent. */
const FAREWELL: Record<string, string> = {
  revoked: 'it was revoked',
  quarantined: 'it was quarantined',
  superseded: 'it opened a newer session',
  protocol: 'it did not keep to the protocol',
  shutdown: 'the coordinator went down',
};
export const farewell = (code: unknown): string => (typeof code === 'string' ? (FAREWELL[code] ?? code) : 'the line broke, or it ended by itself');

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

export function lately({ action, body }: Pick<AuditEntry, 'action' | 'body'>): { glyph: Glyph; say: string; more: string } {
  const [glyph, say] = SAYS[action] ?? ['queue', words(action.replace(/^agent\./, ''))];
  const about = body as Record<string, unknown>;
  const seen = text(about.last_seen);
  const stale = typeof about.stale === 'number' && about.stale > 0 ? `${plural(about.stale, 'attempt')} of before did not count any more` : '';
  const held = typeof about.held === 'number' && about.held > 0 ? `it came back with ${plural(about.held, 'attempt')}` : '';
  const parts = [seen && !Number.isNaN(Date.parse(seen)) ? `last seen ${minuteTime(seen)}` : '', text(about.reason), held, stale];
  return { glyph, say, more: parts.filter(Boolean).join('; ') };
}
