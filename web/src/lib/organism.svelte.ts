// The state of the whole, which the navigation and several screens show.
import { api, ok } from './api';
import { Resource } from './resource.svelte';
import type { OrganismStatus } from './types';

let shared: Resource<OrganismStatus> | null = $state.raw(null);

/** Made once, by the shell. */
export function followOrganism(): Resource<OrganismStatus> {
  const made = new Resource<OrganismStatus>({
    load: (signal) => ok(api.GET('/v1/nexusmon/organism/status', { signal })),
    affected: (change) => !/^task\.(progress|log_sealed)|^session\.|^log\./.test(change.kind),
    calm: 1000,
  });
  shared = made;
  return made;
}

export const organism = (): OrganismStatus | undefined => shared?.data;
