// Ids of people and tokens as names, as far as one may know them.
import { api, ok } from '$lib/api';
import { shown } from '$lib/text';
import type { components } from '../../../generated/schema';

export type Principal = components['schemas']['Principal'];
export type Names = Map<string, string>;

/** All of them, page by page. */
export async function principals(kind: 'people' | 'tokens', signal: AbortSignal): Promise<Principal[]> {
  const all: Principal[] = [];
  let cursor: string | undefined;
  do {
    const query = { params: { query: { limit: 200, cursor } }, signal };
    const page = await ok(kind === 'people' ? api.GET('/v1/governance/principals', query) : api.GET('/v1/governance/tokens', query));
    all.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && all.length < 2000);
  return all;
}

/** Names are an extra: without them ids are shown. */
export const names = async (signal: AbortSignal): Promise<Names> =>
  new Map((await principals('people', signal).catch(() => [])).map((each) => [each.id, each.name]));

export const nameOf = (known: Names | undefined, id: string | null | undefined): string =>
  !id ? '' : shown(known?.get(id) ?? (id.length > 20 ? `${id.slice(0, 4)}…${id.slice(-6)}` : id), 60);
