// Proofs of the audit log, checked in the browser: RFC 9162 trees with SHA-256, and notes signed with Ed25519. Nothing
// here trusts what it is given: a proof holds, does not hold, or cannot be checked.

export type Bytes = Uint8Array<ArrayBuffer>;

/** Absent on pages that are neither encrypted nor local. */
export const canHash = (): boolean => typeof crypto !== 'undefined' && crypto.subtle !== undefined;
export const sha256 = async (bytes: Bytes): Promise<Bytes> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

const HASH = 64;
/** Proofs are as long as the tree is high; a tree of all sequence numbers there are is 64 high. */
const MOST_STEPS = 130;

export const toHex = (bytes: Bytes): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export function fromHex(text: string): Bytes | null {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) return null;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
function fromBase64(text: string): Bytes | null {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}
function joined(...parts: readonly Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The leaf of an entry: the hash of a zero byte and its digest. */
export const leafOf = (digest: Bytes): Promise<Bytes> => sha256(joined(Uint8Array.of(0), digest));
const node = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(joined(Uint8Array.of(1), left, right));

const counted = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
function hashes(path: readonly string[]): Bytes[] | null {
  if (path.length > MOST_STEPS) return null;
  const all = path.map((text) => (text.length === HASH ? fromHex(text) : null));
  return all.every((each) => each !== null) ? all : null;
}

/** Whether `path` leads from leaf `index` to the root of the tree of `size` leaves (RFC 9162, 2.1.3.2). */
export async function includes(leaf: Bytes, index: number, size: number, path: readonly string[], root: string): Promise<boolean> {
  const steps = hashes(path);
  if (!steps || !counted(index) || !counted(size) || index >= size) return false;
  let [place, last, hash] = [index, size - 1, leaf];
  for (const sibling of steps) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      hash = await node(sibling, hash);
      while (place % 2 === 0 && place !== 0) [place, last] = [place / 2, Math.floor(last / 2)];
    } else hash = await node(hash, sibling);
    [place, last] = [Math.floor(place / 2), Math.floor(last / 2)];
  }
  return last === 0 && toHex(hash) === root;
}

/** Whether the tree of `size` leaves begins with the tree of `from` leaves (RFC 9162, 2.1.4.2). */
export async function grewFrom(from: number, fromRoot: string, size: number, root: string, path: readonly string[]): Promise<boolean> {
  const steps = hashes(path);
  if (!steps || !counted(from) || !counted(size) || from === 0 || from > size) return false;
  if (from === size) return steps.length === 0 && fromRoot === root;
  const begun = fromHex(fromRoot);
  if (!begun || fromRoot.length !== HASH) return false;
  let [place, last] = [from - 1, size - 1];
  while (place % 2 === 1) [place, last] = [(place - 1) / 2, Math.floor(last / 2)];
  // Where the older tree is complete, its root is the first hash and is left out.
  const all = place === 0 ? [begun, ...steps] : steps;
  const first = all[0];
  if (!first) return false;
  let [older, newer] = [first, first];
  for (const step of all.slice(1)) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      [older, newer] = [await node(step, older), await node(step, newer)];
      while (place % 2 === 0 && place !== 0) [place, last] = [place / 2, Math.floor(last / 2)];
    } else newer = await node(newer, step);
    [place, last] = [Math.floor(place / 2), Math.floor(last / 2)];
  }
  return last === 0 && toHex(older) === fromRoot && toHex(newer) === root;
}

export interface Head {
  origin: string;
  size: number;
  root: string;
  /** What the signatures cover. */
  text: string;
  signatures: { name: string; id: string; bytes: Bytes }[];
}

/** A signed head (a C2SP note over a checkpoint), or null. It is not believed before its signature was checked. */
export function headOf(note: string): Head | null {
  const cut = note.length <= 65_536 ? note.indexOf('\n\n') : -1;
  if (cut < 0) return null;
  const text = note.slice(0, cut + 1);
  const [origin, size, root] = text.split('\n');
  const bytes = fromBase64(root ?? '');
  if (!origin || !/^(?:0|[1-9]\d{0,15})$/.test(size ?? '') || bytes?.length !== 32) return null;
  const signatures = note.slice(cut + 2).split('\n').slice(0, 100).flatMap((line) => {
    const [, name, encoded] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    const all = encoded ? fromBase64(encoded) : null;
    return name && all && all.length > 4 ? [{ name, id: toHex(all.slice(0, 4)), bytes: all.slice(4) }] : [];
  });
  return { origin, size: Number(size), root: toHex(bytes), text, signatures };
}

export type Checked = 'holds' | 'fails' | 'unknown';

/** Whether a head is signed by a key in the form `name+id+base64`. `unknown` where the browser has no Ed25519. */
export async function signedBy(head: Head, key: string): Promise<Checked> {
  const [, name, id, encoded] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(key) ?? [];
  const bytes = encoded ? fromBase64(encoded) : null;
  if (!name || !id || bytes?.length !== 33 || bytes[0] !== 1) return 'fails';
  const named = await sha256(joined(new TextEncoder().encode(`${name}\n`), bytes));
  if (toHex(named.slice(0, 4)) !== id) return 'fails';
  const signature = head.signatures.find((each) => each.name === name && each.id === id && each.bytes.length === 64);
  if (!signature || head.origin !== name) return 'fails';
  try {
    const imported = await crypto.subtle.importKey('raw', bytes.slice(1), { name: 'Ed25519' }, false, ['verify']);
    return (await crypto.subtle.verify({ name: 'Ed25519' }, imported, signature.bytes, new TextEncoder().encode(head.text))) ? 'holds' : 'fails';
  } catch {
    return 'unknown';
  }
}
