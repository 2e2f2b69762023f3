// Ids of those who act, people and machines, as names. Names are an extra: without them ids are shown.
import { api, ok } from '$lib/api';
import { names, type Names } from '../governance/names';

export async function actors(signal: AbortSignal): Promise<Names> {
  const machines = ok(api.GET('/v1/fleet/agents', { params: { query: { limit: 200 } }, signal })).then(({ items }) => items, () => []);
  return new Map([...(await names(signal)), ...(await machines).map((each) => [each.id, each.name] as const)]);
}
