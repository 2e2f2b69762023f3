import { beforeEach, describe, expect, it } from 'vitest';
import { grewFrom, headOf, includes, leafOf, sha256, signedBy, toHex, type Bytes } from '$lib/merkle';
import { grown, proved, remember, seen, verdict, type Checkpoint, type Proof } from './check';

const digests = (amount: number) => Promise.all(Array.from({ length: amount }, (_, at) => sha256(new TextEncoder().encode(`entry ${at}`))));
const node = async (left: Bytes, right: Bytes) => sha256(Uint8Array.from([1, ...left, ...right]));
const split = (amount: number) => 2 ** Math.ceil(Math.log2(amount) - 1);

/** The definitions of RFC 9162, 2.1, word for word: what the checks are held against. */
async function root(leaves: Bytes[]): Promise<Bytes> {
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return node(await root(leaves.slice(0, k)), await root(leaves.slice(k)));
}
async function path(index: number, leaves: Bytes[]): Promise<Bytes[]> {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k ? [...(await path(index, leaves.slice(0, k))), await root(leaves.slice(k))] : [...(await path(index - k, leaves.slice(k))), await root(leaves.slice(0, k))];
}
async function growth(from: number, leaves: Bytes[], whole = true): Promise<Bytes[]> {
  if (from === leaves.length) return whole ? [] : [await root(leaves)];
  const k = split(leaves.length);
  return from <= k ? [...(await growth(from, leaves.slice(0, k), whole)), await root(leaves.slice(k))] : [...(await growth(from - k, leaves.slice(k), false)), await root(leaves.slice(0, k))];
}
const leaves = async (amount: number) => Promise.all((await digests(amount)).map(leafOf));
const hex = (all: Bytes[]) => all.map(toHex);

describe('an entry’s proof', () => {
  it('holds for every leaf of every tree, and for nothing else', async () => {
    for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 21]) {
      const all = await leaves(size);
      const whole = toHex(await root(all));
      for (let index = 0; index < size; index++) {
        const steps = hex(await path(index, all));
        expect(await includes(all[index]!, index, size, steps, whole)).toBe(true);
        expect(await includes(all[(index + 1) % size]!, index, size, steps, whole)).toBe(size === 1);
        if (size > 1) expect(await includes(all[index]!, (index + 1) % size, size, steps, whole)).toBe(false);
        expect(await includes(all[index]!, index, size, [...steps, whole], whole)).toBe(false);
        expect(await includes(all[index]!, index, size, steps, toHex(all[index]!).replace(/^./, (digit) => (digit === '0' ? '1' : '0')))).toBe(false);
      }
    }
  });
  it('is refused where it is no proof', async () => {
    const [leaf] = await leaves(1);
    for (const [index, size, steps] of [[0, 0, []], [1, 1, []], [-1, 3, []], [0.5, 3, []], [0, Number.NaN, []], [0, 2, ['zz']], [0, 2, Array(200).fill('0'.repeat(64))]] as const) expect(await includes(leaf!, index, size, steps, toHex(leaf!))).toBe(false);
  });
});

describe('a log that grew', () => {
  it('is told from one that was cut or written anew', async () => {
    for (const size of [1, 2, 3, 5, 6, 8, 11, 16, 19]) {
      const all = await leaves(size);
      const whole = toHex(await root(all));
      for (let from = 1; from <= size; from++) {
        const before = toHex(await root(all.slice(0, from)));
        const steps = hex(await growth(from, all));
        expect(await grewFrom(from, before, size, whole, steps), `${from} to ${size}`).toBe(true);
        expect(await grewFrom(from, whole === before ? '0'.repeat(64) : whole, size, whole, steps)).toBe(false);
        expect(await grewFrom(from, before, size, '1'.repeat(64), steps)).toBe(false);
        if (steps.length > 0) expect(await grewFrom(from, before, size, whole, steps.slice(1))).toBe(false);
      }
      expect(await grewFrom(size + 1, whole, size, whole, [])).toBe(false);
      expect(await grewFrom(0, whole, size, whole, [])).toBe(false);
    }
  });
});

const base64 = (bytes: Iterable<number>) => btoa(String.fromCharCode(...bytes));
/** A log of its own, with a key of its own. */
async function log(name = 'nexusmon/org_1/1') {
  const pair = (await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])) as CryptoKeyPair;
  const raw = new Uint8Array([1, ...new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))]);
  const id = (await sha256(Uint8Array.from([...new TextEncoder().encode(`${name}\n`), ...raw]))).slice(0, 4);
  const key = `${name}+${toHex(id)}+${base64(raw)}`;
  const all = await digests(20);
  const own = await Promise.all(all.map(leafOf));
  async function checkpoint(size: number): Promise<Checkpoint> {
    const bytes = await root(own.slice(0, size));
    const text = `${name}\n${size}\n${base64(bytes)}\n`;
    const signature = new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, pair.privateKey, new TextEncoder().encode(text)));
    return { size, root: toHex(bytes), note: `${text}\n— ${name} ${base64([...id, ...signature])}\n`, key, at: '', attested: 0, of: 0, witnesses: [] };
  }
  const proof = async (seq: number, size: number): Promise<Proof> => ({ seq, digest: toHex(all[seq - 1]!), leaf: toHex(own[seq - 1]!), size, root: (await checkpoint(size)).root, proof: hex(await path(seq - 1, own.slice(0, size))), note: (await checkpoint(size)).note });
  const ask = async (from: number, size: number) => ({ size, root: '', proof: hex(await growth(from, own.slice(0, size))) });
  return { key, all, checkpoint, proof, ask };
}

describe('a signed head', () => {
  it('holds for its key alone', async () => {
    const [mine, other] = [await log(), await log()];
    const head = headOf((await mine.checkpoint(7)).note)!;
    expect([head.size, head.origin]).toEqual([7, 'nexusmon/org_1/1']);
    expect(await signedBy(head, mine.key)).toBe('holds');
    expect(await signedBy(head, other.key)).toBe('fails');
    expect(await signedBy({ ...head, text: head.text.replace('\n7\n', '\n8\n') }, mine.key)).toBe('fails');
    for (const key of ['', 'x', 'a+b+c', mine.key.replace(/\+[0-9a-f]{8}\+/, '+00000000+')]) expect(await signedBy(head, key)).toBe('fails');
  });
  it('is refused where it is none', () => {
    for (const note of ['', 'x', 'a\n1\nAA==\n\n', 'a\n-1\n\n', 'a\n\n\n', `a\n1\n${base64(new Uint8Array(31))}\n\n`]) expect(headOf(note)).toBeNull();
  });
});

describe('what the browser says of an entry', () => {
  it('holds, and names the step that does not', async () => {
    const mine = await log();
    const entry = { seq: 5, digest: toHex(mine.all[4]!) };
    const good = await mine.proof(5, 12);
    expect(verdict(await proved(entry, good, mine.key))).toBe('holds');
    const failing = async (proof: Proof, key = mine.key) => (await proved(entry, proof, key)).map((step) => step.found === 'fails');
    expect(await failing({ ...good, proof: good.proof.toReversed() })).toEqual([false, true, false, false]);
    expect(await failing({ ...good, note: (await mine.checkpoint(11)).note })).toEqual([false, false, true, false]);
    expect(await failing(good, (await log()).key)).toEqual([false, false, false, true]);
    expect(await failing(await mine.proof(6, 12))).toEqual([true, true, false, false]);
    expect(verdict([])).toBe('unknown');
  });
});

describe('the head this browser has seen', () => {
  beforeEach(() => localStorage.clear());
  it('is held against the next, and only what follows from it takes its place', async () => {
    const mine = await log();
    expect((await grown(await mine.checkpoint(5), mine.ask)).kind).toBe('first');
    expect((await grown(await mine.checkpoint(5), mine.ask)).kind).toBe('same');
    expect((await grown(await mine.checkpoint(9), mine.ask)).kind).toBe('grew');
    expect((await grown(await mine.checkpoint(6), mine.ask)).kind).toBe('shrunken');
    expect((await grown({ ...(await mine.checkpoint(10)), root: '0'.repeat(64) }, mine.ask)).kind).toBe('unsigned');
    expect((await grown(await mine.checkpoint(12), async (from, size) => ({ ...(await mine.ask(from, size)), proof: [] }))).kind).toBe('forked');
    expect(seen()?.size).toBe(9);
    const other = await log();
    expect((await grown(await other.checkpoint(12), other.ask)).kind).toBe('other');
    expect(seen()?.key).toBe(mine.key);
    remember(await other.checkpoint(12));
    expect((await grown(await other.checkpoint(13), other.ask)).kind).toBe('grew');
  });
  it('is nothing where what is kept is not a head', () => {
    for (const text of ['', '{', 'null', '{"size": 3}', '7']) {
      localStorage.setItem('nexusmon.head', text);
      expect(seen()).toBeNull();
    }
  });
});
