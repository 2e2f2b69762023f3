// Where in a text of YAML or JSON a mistake is: the coordinator names it by JSON pointer (RFC 6901), people read lines.
export interface Mistake {
  pointer: string;
  detail: string;
}
export interface Placed extends Mistake {
  /** From 1; absent where the text has no such place. */
  line: number | null;
  /** The characters it is about. */
  from: number;
  to: number;
}

export const segments = (pointer: string): string[] =>
  pointer === '' ? [] : pointer.replace(/^\//, '').split('/').map((each) => each.replaceAll('~1', '/').replaceAll('~0', '~'));

const lineAt = (text: string, offset: number): number => {
  let line = 1;
  for (let at = 0; at < offset && at < text.length; at++) if (text.charCodeAt(at) === 10) line += 1;
  return line;
};

/** Puts each mistake where it belongs: the value, the key whose value is wrong, or the nearest place around it. */
export async function place(text: string, mistakes: readonly Mistake[]): Promise<Placed[]> {
  if (mistakes.length === 0) return [];
  const { parseDocument, isMap, isSeq, isScalar, isPair } = await import('yaml');
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false });
  const range = (node: unknown): readonly number[] | null => {
    const found = (node as { range?: readonly number[] | null } | null)?.range;
    return found ?? null;
  };
  return mistakes.map((mistake) => {
    let node: unknown = document.contents;
    let path = segments(mistake.pointer);
    // A plan may be written as its tasks alone.
    if (isSeq(node) && path[0] === 'tasks') path = path.slice(1);
    let found = range(node);
    let exact = path.length === 0;
    for (const [at, segment] of path.entries()) {
      if (isMap(node)) {
        const pair = node.items.find((each) => isPair(each) && isScalar(each.key) && String(each.key.value) === segment);
        if (!pair) break;
        const key = range(pair.key);
        const value = range(pair.value);
        // One line is marked: what spans several is marked at its key.
        found = at === path.length - 1 && isScalar(pair.value) && value && !text.slice(value[0], value[1]).includes('\n') ? value : key;
        node = pair.value;
      } else if (isSeq(node)) {
        const item: unknown = node.items[Number(segment)];
        if (item === undefined) break;
        found = range(item);
        node = item;
      } else break;
      exact = at === path.length - 1;
    }
    if (!found || (!exact && mistake.pointer === '')) return { ...mistake, line: null, from: 0, to: 0 };
    const from = found[0] ?? 0;
    const end = text.indexOf('\n', from);
    const to = Math.min(found[1] ?? from, end < 0 ? text.length : end);
    return { ...mistake, line: lineAt(text, from), from, to: Math.max(from, to) };
  });
}
