// The kill switch, which every screen shows while it is pulled.
import { api, ok } from './api';
import { Resource } from './resource.svelte';
import type { Halt } from './types';

let shared: Resource<Halt> | null = $state.raw(null);

/** Made once, by the shell. */
export function followHalt(): Resource<Halt> {
  const made = new Resource<Halt>({
    load: (signal) => ok(api.GET('/v1/governance/halt', { signal })),
    affected: (change) => /^halt\.|^agent\.(halt_acknowledged|online|offline|quarantined|resumed|revoked)$/.test(change.kind) || (halted() && change.kind === 'task.settled'),
    calm: 400,
  });
  shared = made;
  return made;
}

export const halt = (): Resource<Halt> | null => shared;
export const halted = (): boolean => shared?.data !== undefined && shared.data.level !== 'none';
export const LEVEL: Record<string, string> = { none: 'Nothing is halted', halt: 'Halted', stop: 'Stopped' };
