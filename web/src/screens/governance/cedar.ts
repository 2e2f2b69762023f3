// A set of Cedar policies cut into its policies, to be shown one by one. Reads nothing into them: the coordinator judges.

export interface PolicyText {
  /** What `@id("…")` says; empty if it says nothing. */
  id: string;
  effect: 'permit' | 'forbid' | '';
  /** What stands there, comments above it included. */
  text: string;
  /** Line it begins at, from 1. */
  line: number;
}

/** Where each policy ends: at a semicolon that is neither in a string nor in a comment. */
function ends(text: string): number[] {
  const found: number[] = [];
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === '\\') at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '/' && text[at + 1] === '/') {
      const end = text.indexOf('\n', at);
      if (end < 0) break;
      at = end;
    } else if (char === ';') found.push(at + 1);
  }
  return found;
}

export function policiesIn(text: string): PolicyText[] {
  const found: PolicyText[] = [];
  let from = 0;
  for (const to of ends(text)) {
    const part = text.slice(from, to);
    const lead = part.length - part.trimStart().length;
    const code = part.replaceAll(/^\s*\/\/.*$/gm, '');
    found.push({
      id: /@id\s*\(\s*"((?:[^"\\]|\\.)*)"\s*\)/.exec(code)?.[1] ?? '',
      effect: (/\b(permit|forbid)\s*\(/.exec(code)?.[1] ?? '') as PolicyText['effect'],
      text: part.trim(),
      line: text.slice(0, from + lead).split('\n').length,
    });
    from = to;
  }
  return found;
}

const ACTIONS: Record<string, string> = { run_unattended: 'run unattended', run_flagged: 'run flagged', run_with_approval: 'run with approval' };
/** The acts a policy speaks of, in words. */
export function actsOf(policy: PolicyText): string[] {
  const names = Object.keys(ACTIONS).filter((name) => policy.text.includes(`Action::"${name}"`));
  return (names.length > 0 ? names : Object.keys(ACTIONS)).map((name) => ACTIONS[name] ?? name);
}
