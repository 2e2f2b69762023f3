// Server-sent events read by hand (WHATWG HTML, section 9.2): unlike the browser's own reader this one sees heartbeats,
// so that the age of a line can be shown, and refusals, so that a session that ended is not asked for again and again.

export interface Sent {
  event: string;
  data: string;
  id: string | null;
}

/** Splits a stream of text into events. A comment (a heartbeat) is `null`. */
export class Parser {
  #rest = '';

  push(text: string): (Sent | null)[] {
    const found: (Sent | null)[] = [];
    const parts = (this.#rest + text).split('\n\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const sent: Sent = { event: 'message', data: '', id: null };
      const data: string[] = [];
      for (const line of part.split('\n')) {
        const colon = line.indexOf(':');
        if (colon <= 0) continue;
        const value = line.slice(colon + 1).replace(/^ /, '');
        const field = line.slice(0, colon);
        if (field === 'data') data.push(value);
        else if (field === 'event') sent.event = value;
        else if (field === 'id') sent.id = value;
      }
      sent.data = data.join('\n');
      found.push(data.length > 0 ? sent : null);
    }
    return found;
  }
}

/** Reads a stream until it ends, fails, is aborted, or is silent for `patience` milliseconds. */
export async function read(answer: Response, signal: AbortSignal, patience: number, each: (sent: Sent | null) => void): Promise<void> {
  const reader = answer.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  const parser = new Parser();
  const cancel = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', cancel);
  let timer = 0;
  try {
    for (;;) {
      clearTimeout(timer);
      timer = self.setTimeout(cancel, patience);
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const sent of parser.push(decoder.decode(value, { stream: true }))) each(sent);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** How long to wait before the next try: doubling, never all at once, never more than half a minute. */
export function backoff(tries: number, random: () => number = Math.random): number {
  const most = Math.min(30_000, 500 * 2 ** Math.min(tries, 10));
  return most / 2 + (random() * most) / 2;
}
