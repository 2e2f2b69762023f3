// The rooms of the console, in the order of the navigation.
import type { IconName } from '$ui/icons';

export interface Room {
  section: string;
  title: string;
  short: string;
  icon: IconName;
  keys: string;
  /** A gap before it. */
  gap?: boolean;
  /** In the bar of the phone. */
  phone?: boolean;
}

export const ROOMS: Room[] = [
  { section: 'missions', title: 'Missions', short: 'Missions', icon: 'missions', keys: 'g m', phone: true },
  { section: 'approvals', title: 'Approvals', short: 'Approvals', icon: 'approvals', keys: 'g a', phone: true },
  { section: 'agents', title: 'Agents', short: 'Agents', icon: 'agents', keys: 'g w', phone: true },
  { section: 'schedules', title: 'Schedules', short: 'Schedules', icon: 'schedules', keys: 'g t' },
  { section: 'vault', title: 'Vault', short: 'Vault', icon: 'vault', keys: 'g v', phone: true },
  { section: 'governance', title: 'Governance', short: 'Governance', icon: 'governance', keys: 'g p', gap: true },
  { section: 'audit', title: 'Audit', short: 'Audit', icon: 'audit', keys: 'g l' },
  { section: 'evolution', title: 'Evolution', short: 'Organism', icon: 'evolution', keys: 'g e', gap: true, phone: true },
  { section: 'cognition', title: 'Cognition', short: 'Cognition', icon: 'cognition', keys: 'g c' },
  { section: 'companion', title: 'Companion', short: 'Companion', icon: 'companion', keys: 'g o' },
];
