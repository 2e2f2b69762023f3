// A decision signed by a passkey: the challenge is the digest of exactly what is decided, and nothing else is.
import { api, ok } from '$lib/api';
import { answer, possible, text, type Passkey } from '$lib/passkey';
import type { Approval } from '$lib/types';
import type { components } from '../../../generated/schema';

type Given = components['schemas']['Given'];
interface Roster {
  persons: Record<string, { role: string; keys: { kind: string }[] }>;
}
const DOMAIN = 'nexusmon/approval/v1\n';
const DAY = 24 * 60 * 60 * 1000;

/** The passkeys of `person` that the roster lists for this place; none where rank S wants a key in a file. */
export async function signers(person: string, rank: string): Promise<Passkey[]> {
  if (!possible()) return [];
  const own = await ok(api.GET('/v1/auth/passkeys'));
  const here = own.items.filter((each) => each.origin === location.origin && each.in_roster);
  if (here.length === 0) return [];
  const { persons } = (await ok(api.GET('/v1/governance/roster'))).roster as unknown as Roster;
  const approvers = Object.entries(persons).filter(([, each]) => each.role === 'owner' || each.role === 'approver');
  if (rank === 'S' && approvers.some(([, each]) => each.keys.some((key) => key.kind === 'cli'))) return [];
  return approvers.some(([id]) => id === person) ? here : [];
}

/** RFC 8785 for what a statement is: names and texts in ASCII, and null. */
function canonical(statement: Record<string, string | null>): string {
  const names = Object.keys(statement).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(statement[name])}`).join(',')}}`;
}

export async function sign(approval: Approval, verdict: 'approve' | 'reject', keys: Passkey[]): Promise<Given> {
  const valid_until = new Date(Date.now() + DAY).toISOString().replace('Z', '000Z');
  const nonce = text(crypto.getRandomValues(new Uint8Array(16)));
  const statement = { ...(approval.to_sign as Record<string, string | null>), verdict, valid_until, nonce };
  const message = new TextEncoder().encode(DOMAIN + canonical(statement));
  const challenge = new Uint8Array(await crypto.subtle.digest('SHA-256', message));
  const place = keys[0]?.rp_id ?? location.hostname;
  const { id, assertion } = await answer(challenge, place, keys.map((key) => key.credential_id));
  const used = keys.find((key) => key.credential_id === id);
  if (!used) throw new Error('That was another passkey than the roster lists for you.');
  return { key: used.key, valid_until, nonce, assertion };
}
