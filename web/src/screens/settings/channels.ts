// Channels and rules as they are written: what belongs to which kind, and what a rule says in words.
import { shown } from '$lib/text';
import type { components } from '../../../generated/schema';

export type Channel = components['schemas']['NotificationChannel'];
export type Rule = components['schemas']['NotificationRule'];

export const CHANNEL: Record<string, string> = { webhook: 'Webhook', ntfy: 'ntfy', slack: 'Slack-compatible', email: 'E-mail', push: 'My browsers' };
export const KIND: Record<string, string> = {
  approval: 'Approvals that wait', review: 'Reviews that wait', failure: 'Missions that failed', suspension: 'What the system suspended',
  budget: 'Budgets used up', agent_lost: 'Agents that are lost', alert: 'Alerts', halt: 'The kill switch',
};

/** Where a channel leads, as far as it may be read. */
export function leads(channel: Channel): string {
  const { host, to } = channel.shown as { host?: unknown; to?: unknown };
  if (Array.isArray(to)) return shown(to.join(', '), 200);
  return typeof host === 'string' ? shown(host, 200) : '';
}

const minutes = (seconds: number): string => (seconds % 3600 === 0 ? `${seconds / 3600} h` : `${Math.round(seconds / 60)} min`);

/** When and of what, in one line. */
export function says(rule: Rule, name: (id: string) => string): string {
  const parts = [rule.kinds.map((kind) => KIND[kind] ?? kind).join(', ')];
  if (rule.rank) parts.push(`from rank ${rule.rank}`);
  for (const [key, value] of Object.entries(rule.labels)) parts.push(shown(`${key}=${value}`, 80));
  if (rule.digest) parts.push(`gathered over ${minutes(rule.digest)}`);
  if (rule.quiet) parts.push(shown(`quiet ${rule.quiet.from}–${rule.quiet.to} ${rule.quiet.time_zone ?? 'UTC'}`, 80));
  if (rule.escalate) parts.push(`unseen approvals after ${minutes(Number(rule.escalate.after))} to ${name(rule.escalate.channel)}`);
  return parts.join(' · ');
}

export interface Draft {
  kind: string; name: string; url: string; token: string;
  host: string; port: string; security: string; username: string; password: string; from: string; to: string;
}
export const empty = (): Draft => ({ kind: 'ntfy', name: '', url: '', token: '', host: '', port: '465', security: 'tls', username: '', password: '', from: '', to: '' });

/** The body of a request; what does not belong to the kind is left out. */
export function body(draft: Draft): components['schemas']['NewNotificationChannel'] {
  const { kind } = draft;
  const made: components['schemas']['NewNotificationChannel'] = { name: draft.name.trim(), kind };
  if (kind === 'webhook' || kind === 'ntfy' || kind === 'slack') made.url = draft.url.trim();
  if (kind === 'ntfy' && draft.token.trim()) made.token = draft.token.trim();
  if (kind === 'email') {
    const account = draft.username.trim() ? { username: draft.username.trim(), password: draft.password } : {};
    made.server = { host: draft.host.trim(), port: Number(draft.port), security: draft.security, ...account };
    made.from = draft.from.trim();
    made.to = draft.to.split(/[\s,]+/).filter(Boolean);
  }
  return made;
}
