// A mission as it is typed: YAML or JSON, with what the form beside it adds.

import type { Placed } from '$lib/places';

export interface Composed {
  mission: Record<string, unknown> | null;
  problem: string;
  /** Where the text itself cannot be read. */
  places?: Placed[];
}

/** Reads YAML (JSON is YAML). The parser is fetched when first needed. */
export async function parse(text: string): Promise<Composed> {
  if (!text.trim()) return { mission: null, problem: '' };
  const { LineCounter, parseDocument } = await import('yaml');
  const counter = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: true, lineCounter: counter });
  if (document.errors.length > 0) {
    const places = document.errors.slice(0, 20).map(({ message, pos: [from, to] }) => ({ pointer: '', detail: message, line: counter.linePos(from).line, from, to: Math.max(from, to) }));
    return { mission: null, problem: `The text cannot be read as YAML or JSON: line ${places[0]?.line}.`, places };
  }
  let read: unknown;
  try {
    // Aliases could grow without bound.
    read = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return { mission: null, problem: error instanceof Error ? error.message : String(error) };
  }
  if (Array.isArray(read)) return { mission: { tasks: read }, problem: '' };
  if (typeof read !== 'object' || read === null) return { mission: null, problem: 'A plan is a mapping with `goal` and `tasks`.' };
  return { mission: read as Record<string, unknown>, problem: '' };
}

/** Adds what the form says where the text does not say more. */
export function compose(composed: Composed, rank: string, start: string): Composed {
  const { mission, problem } = composed;
  if (!mission) return composed;
  const made = { ...mission };
  if (rank) made.rank = rank;
  if (start !== 'auto') made.start = start;
  return { mission: made, problem };
}
