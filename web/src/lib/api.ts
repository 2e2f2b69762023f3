// Calls of the REST API with the browser's session, typed by its document.
import createClient from 'openapi-fetch';
import type { paths } from '../../generated/schema';

/** A refused call: `status`, the stable `code`, and what a person can do. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  /** JSON pointer and message of each mistake in what was sent. */
  readonly mistakes: { pointer: string; detail: string }[];

  constructor(status: number, problem: unknown) {
    const about = (typeof problem === 'object' && problem !== null ? problem : {}) as Record<string, unknown>;
    super(typeof about.detail === 'string' ? about.detail : status === 0 ? 'The coordinator does not answer.' : `The coordinator answered ${status}.`);
    this.status = status;
    this.code = typeof about.code === 'string' ? about.code : '';
    this.mistakes = Array.isArray(about.errors)
      ? about.errors.map((each) => ({ pointer: String(each?.pointer ?? ''), detail: String(each?.message ?? '') }))
      : [];
  }
}

export const idempotencyKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join('-');

/** Told when an answer says that the session is over. */
export const signedOut = new EventTarget();

const client = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' });
client.use({
  onRequest({ request }) {
    if (request.method === 'POST' && !request.headers.has('idempotency-key')) request.headers.set('idempotency-key', idempotencyKey());
    return request;
  },
  onResponse({ response }) {
    // A log-in that is refused ends nothing.
    if (response.status === 401 && !new URL(response.url).pathname.startsWith('/v1/auth/login')) signedOut.dispatchEvent(new Event('over'));
  },
});
export const api = client;

/** Where in the stream of events an answer stands: what came up to there is in it. */
const places = new WeakMap<object, number>();

export const placeOf = (data: unknown): number | undefined => (typeof data === 'object' && data !== null ? places.get(data) : undefined);

/** What was made of an answer stands where it stood. */
export function carry<T extends object>(from: object, made: T): T {
  const place = places.get(from);
  if (place !== undefined) places.set(made, place);
  return made;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's body, or [`Refused`]. */
export async function ok<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, null);
  }
  if (!answer.response.ok) throw new Refused(answer.response.status, answer.error);
  const place = Number(answer.response.headers.get('x-seq') ?? NaN);
  if (Number.isSafeInteger(place) && typeof answer.data === 'object' && answer.data !== null) places.set(answer.data, place);
  return answer.data as T;
}

/** A fetch outside of the typed client: logs, streams, bytes. */
export async function raw(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, null);
  }
  if (answer.status === 401) signedOut.dispatchEvent(new Event('over'));
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  return answer;
}

/** What to tell a person about any error. */
export const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));
