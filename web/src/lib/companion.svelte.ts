// The conversation with the companion: kept while the page is open, never stored.
import { raw, said } from './api';
import { read } from './live/sse';

export interface Citation { kind: string; id: string; title: string; href: string }
export interface Part { text: string; citations: Citation[]; draft: Record<string, unknown> | null }
export interface Turn { question: string; parts: Part[]; problem: string; done: boolean }

/** Longer than any pause of an answer; heartbeats come every fifteen seconds. */
const PATIENCE = 45_000;
/** Turns that are kept. */
const MOST = 50;

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** A part as it came, with nothing in it that leads away from the console. */
export function part(data: string): Part | null {
  let found: unknown;
  try {
    found = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof found !== 'object' || found === null) return null;
  const { text: words, citations, draft } = found as Record<string, unknown>;
  const cited = (Array.isArray(citations) ? citations : [])
    .map((each: Record<string, unknown>) => ({ kind: text(each?.kind), id: text(each?.id), title: text(each?.title), href: text(each?.href) }))
    .filter((each) => /^\/organism\/[\w/?=.&-]*$/.test(each.href) && !each.href.includes('..'));
  return { text: text(words), citations: cited, draft: typeof draft === 'object' && draft !== null ? (draft as Record<string, unknown>) : null };
}

class Companion {
  turns = $state<Turn[]>([]);
  #abort: AbortController | null = null;
  readonly busy = $derived(this.turns.some((turn) => !turn.done));

  async ask(question: string, about: string | null): Promise<void> {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.turns = [...this.turns.slice(1 - MOST), { question, parts: [], problem: '', done: false }];
    const turn = this.turns[this.turns.length - 1];
    if (!turn) return;
    let ended = false;
    try {
      const answer = await raw('/v1/companion/messages', { method: 'POST', signal: abort.signal, headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: question, about }) });
      await read(answer, abort.signal, PATIENCE, (sent) => {
        if (sent?.event === 'part') {
          const found = part(sent.data);
          if (found) turn.parts.push(found);
        } else if (sent?.event === 'problem') turn.problem = 'The coordinator could not answer; its log has the details.';
        else if (sent?.event === 'done') ended = true;
      });
      if (!ended && !turn.problem) turn.problem = 'The answer broke off; ask again.';
    } catch (error) {
      turn.problem = abort.signal.aborted ? 'Stopped.' : said(error);
    } finally {
      turn.done = true;
    }
  }

  stop() {
    this.#abort?.abort();
  }

  forget() {
    this.stop();
    this.turns = [];
  }
}

export const companion = new Companion();
