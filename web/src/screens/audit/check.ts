// What this browser checks of the log by itself: an entry's proof, and that the log it saw before only grew.
import { api, ok } from '$lib/api';
import { canHash, fromHex, grewFrom, headOf, includes, leafOf, signedBy, toHex, type Checked } from '$lib/merkle';
import { count, plural } from '$lib/text';
import type { AuditEntry } from '$lib/types';
import type { components } from '../../../generated/schema';

export type Checkpoint = components['schemas']['Checkpoint'];
export type Proof = components['schemas']['Proof'];
export interface Step {
  found: Checked;
  say: string;
}

/** Steps of a proof, in the order they are checked. The entry is proved if all of them hold. */
export async function proved(entry: Pick<AuditEntry, 'seq' | 'digest'>, proof: Proof, key: string): Promise<Step[]> {
  if (!canHash()) return [{ found: 'unknown', say: 'This page is neither encrypted nor local, so the browser hashes nothing. Check with the command line.' }];
  const holds = (good: boolean): Checked => (good ? 'holds' : 'fails');
  const digest = entry.digest.length === 64 ? fromHex(entry.digest) : null;
  const leaf = digest ? await leafOf(digest) : null;
  const head = proof.note ? headOf(proof.note) : null;
  const included = leaf !== null && (await includes(leaf, entry.seq - 1, proof.size, proof.proof, proof.root));
  return [
    { found: holds(proof.seq === entry.seq && proof.digest === entry.digest && leaf !== null && toHex(leaf) === proof.leaf), say: `Its digest, hashed again, is leaf ${count(entry.seq)}` },
    { found: holds(included), say: `${plural(proof.proof.length, 'hash', 'hashes')} lead from it to the root of ${count(proof.size)} entries` },
    { found: holds(head !== null && head.size === proof.size && head.root === proof.root), say: 'A signed head names that size and root' },
    { found: head ? await signedBy(head, key) : 'fails', say: 'The head is signed with the log’s key' },
  ];
}

export const verdict = (steps: readonly Step[]): Checked =>
  steps.some((step) => step.found === 'fails') ? 'fails' : steps.length === 0 || steps.some((step) => step.found === 'unknown') ? 'unknown' : 'holds';

/** A head this browser has seen. */
interface Seen {
  key: string;
  size: number;
  root: string;
  at: string;
}
const KEY = 'nexusmon.head';
export function seen(): Seen | null {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? 'null') as Seen | null;
    return found && typeof found.key === 'string' && typeof found.size === 'number' && typeof found.root === 'string' && typeof found.at === 'string' ? found : null;
  } catch {
    return null;
  }
}
export const remember = ({ key, size, root }: Checkpoint) => localStorage.setItem(KEY, JSON.stringify({ key, size, root, at: new Date().toISOString() }));

export interface Growth {
  kind: 'first' | 'grew' | 'same' | 'forked' | 'shrunken' | 'other' | 'unsigned' | 'unknown';
  before: Seen | null;
}

/** What is asked for the proof that the log only grew; another in tests. */
export type Ask = (from: number, size: number) => Promise<Proof>;

/** Checks a head against the one seen before, and remembers it if nothing speaks against it. */
export async function grown(checkpoint: Checkpoint, ask: Ask): Promise<Growth> {
  const before = seen();
  if (!canHash()) return { kind: 'unknown', before };
  const head = headOf(checkpoint.note);
  const matches = head !== null && head.size === checkpoint.size && head.root === checkpoint.root;
  const signed = matches ? await signedBy(head, checkpoint.key) : 'fails';
  if (signed === 'fails') return { kind: 'unsigned', before };
  if (before && before.key !== checkpoint.key) return { kind: 'other', before };
  if (before && checkpoint.size < before.size) return { kind: 'shrunken', before };
  let kind: Growth['kind'] = 'first';
  if (before) {
    const proof = before.size === checkpoint.size ? { proof: [] } : await ask(before.size, checkpoint.size);
    if (!(await grewFrom(before.size, before.root, checkpoint.size, checkpoint.root, proof.proof))) return { kind: 'forked', before };
    kind = before.size === checkpoint.size ? 'same' : 'grew';
  }
  // What cannot be checked is not what later heads are held against.
  if (signed === 'holds') remember(checkpoint);
  return { kind: signed === 'holds' ? kind : 'unknown', before };
}

export const asked = (signal: AbortSignal): Ask => (from, size) =>
  ok(api.GET('/v1/governance/audit/proof', { params: { query: { from: String(from), size: String(size) } }, signal }));
