// A mission as it is typed: YAML or JSON, with what the form beside it adds.

export interface Composed {
  mission: Record<string, unknown> | null;
  problem: string;
}

/** Reads YAML (JSON is YAML). The parser is fetched when first needed. */
export async function parse(text: string): Promise<Composed> {
  if (!text.trim()) return { mission: null, problem: '' };
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  const wrong = document.errors[0];
  if (wrong) return { mission: null, problem: wrong.message };
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
export function compose({ mission, problem }: Composed, rank: string, start: string): Composed {
  if (!mission) return { mission, problem };
  const made = { ...mission };
  if (rank) made.rank = rank;
  if (start !== 'auto') made.start = start;
  return { mission: made, problem };
}
