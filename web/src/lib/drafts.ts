// What somebody has begun to write, kept on this device until it is sent or thrown away. Never a secret.
const PREFIX = 'nexusmon.draft.';
/** Beyond this a draft is not kept: browsers bound what a page may store. */
const MOST = 512 * 1024;

export interface Draft {
  /** When it was last written, in milliseconds. */
  at: number;
  fields: Record<string, string>;
}

const stored = (): Storage | null => {
  try {
    return localStorage;
  } catch {
    return null;
  }
};

export function readDraft(name: string): Draft | null {
  try {
    const read: unknown = JSON.parse(stored()?.getItem(PREFIX + name) ?? 'null');
    if (typeof read !== 'object' || read === null) return null;
    const { at, fields } = read as Partial<Draft>;
    if (typeof at !== 'number' || typeof fields !== 'object' || fields === null) return null;
    return { at, fields: Object.fromEntries(Object.entries(fields).filter(([, value]) => typeof value === 'string')) };
  } catch {
    return null;
  }
}

/** Whether it is kept; with nothing in it, it is forgotten. */
export function keepDraft(name: string, fields: Record<string, string>, now: number): boolean {
  if (Object.values(fields).every((each) => each.trim() === '')) {
    dropDraft(name);
    return false;
  }
  const text = JSON.stringify({ at: now, fields });
  if (text.length > MOST) return false;
  try {
    stored()?.setItem(PREFIX + name, text);
    return stored() !== null;
  } catch {
    return false;
  }
}

export function dropDraft(name: string) {
  try {
    stored()?.removeItem(PREFIX + name);
  } catch {
    // Nothing was kept there, then.
  }
}

/** All of them: who logs out leaves nothing behind. */
export function dropDrafts() {
  const kept = stored();
  if (!kept) return;
  for (const key of Object.keys(kept)) if (key.startsWith(PREFIX)) kept.removeItem(key);
}
