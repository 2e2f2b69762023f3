// Every screen, by its address. Each is a file of its own that is fetched when it is first opened.
import type { Component } from 'svelte';

export interface Route {
  /** The main navigation item it belongs to. */
  section: string;
  title: string;
  /** What it belongs to within that, and its address. */
  under?: [title: string, path: string];
  /** Without navigation around it. */
  bare?: boolean;
  load: () => Promise<{ default: Component<{ id: string }> }>;
}

type Entry = [RegExp, Route];
const ID = '([a-z]{3}_[0-9a-z]{26})';
/** As names are anywhere here. */
const NAME = '([A-Za-z0-9][A-Za-z0-9_.-]{0,63})';
const one = (path: string) => new RegExp(`^${path}$`);

const ROUTES: Entry[] = [
  [one('/(?:missions)?'), { section: 'missions', title: 'Missions', load: () => import('../screens/Missions.svelte') }],
  [one('/missions/new'), { section: 'missions', title: 'New mission', load: () => import('../screens/NewMission.svelte') }],
  [one(`/missions/${ID}`), { section: 'missions', title: 'Mission', load: () => import('../screens/Mission.svelte') }],
  [one('/approvals'), { section: 'approvals', title: 'Approvals', load: () => import('../screens/Approvals.svelte') }],
  [one('/approvals/history'), { section: 'approvals', title: 'History', load: () => import('../screens/ApprovalHistory.svelte') }],
  [one(`/approvals/${ID}`), { section: 'approvals', title: 'Approval', load: () => import('../screens/Approvals.svelte') }],
  [one(`/approve/${ID}`), { section: 'approvals', title: 'Approval', bare: true, load: () => import('../screens/Approve.svelte') }],
  [one('/schedules'), { section: 'schedules', title: 'Schedules', load: () => import('../screens/Schedules.svelte') }],
  [one('/schedules/webhooks'), { section: 'schedules', title: 'Webhooks', load: () => import('../screens/triggers/Webhooks.svelte') }],
  [one('/schedules/events'), { section: 'schedules', title: 'Events', load: () => import('../screens/triggers/Events.svelte') }],
  [one('/schedules/proposals'), { section: 'schedules', title: 'Proposals', load: () => import('../screens/triggers/Proposals.svelte') }],
  [one('/reviews'), { section: 'approvals', title: 'Reviews', load: () => import('../screens/Reviews.svelte') }],
  [one('/agents'), { section: 'agents', title: 'Agents', load: () => import('../screens/Agents.svelte') }],
  [one(`/agents/${ID}`), { section: 'agents', title: 'Agent', load: () => import('../screens/Agents.svelte') }],
  [one('/playbooks'), { section: 'missions', title: 'Playbooks', load: () => import('../screens/Playbooks.svelte') }],
  [one(`/playbooks/${NAME}`), { section: 'missions', title: 'Playbook', under: ['Playbooks', '/playbooks'], load: () => import('../screens/Playbook.svelte') }],
  [one('/vault'), { section: 'vault', title: 'Vault', load: () => import('../screens/Vault.svelte') }],
  [one(`/vault/${ID}`), { section: 'vault', title: 'Artifact', load: () => import('../screens/Artifact.svelte') }],
  [one('/governance'), { section: 'governance', title: 'Policies', load: () => import('../screens/governance/Policies.svelte') }],
  [one('/governance/propose'), { section: 'governance', title: 'Propose policies', load: () => import('../screens/governance/Propose.svelte') }],
  [one('/governance/flags'), { section: 'governance', title: 'Switched off', load: () => import('../screens/governance/Flags.svelte') }],
  [one('/governance/rates'), { section: 'governance', title: 'Rates', load: () => import('../screens/governance/Rates.svelte') }],
  [one('/governance/people'), { section: 'governance', title: 'People', load: () => import('../screens/governance/People.svelte') }],
  [one('/governance/tokens'), { section: 'governance', title: 'Tokens', load: () => import('../screens/governance/Tokens.svelte') }],
  [one('/governance/secrets'), { section: 'governance', title: 'Secrets', load: () => import('../screens/governance/Secrets.svelte') }],
  [one('/governance/standing'), { section: 'governance', title: 'Standing approvals', load: () => import('../screens/governance/Standing.svelte') }],
  [one(`/governance/standing/${ID}`), { section: 'governance', title: 'Standing approval', under: ['Standing approvals', '/governance/standing'], load: () => import('../screens/governance/Standing.svelte') }],
  [one('/governance/roster'), { section: 'governance', title: 'Roster', load: () => import('../screens/governance/Roster.svelte') }],
  [one('/audit'), { section: 'audit', title: 'Audit', load: () => import('../screens/Audit.svelte') }],
  [one('/evolution'), { section: 'evolution', title: 'Evolution', load: () => import('../screens/Evolution.svelte') }],
  [one('/cognition'), { section: 'cognition', title: 'Cognition', load: () => import('../screens/Cognition.svelte') }],
  [one('/halt'), { section: 'halt', title: 'Kill switch', load: () => import('../screens/Halt.svelte') }],
  [one('/companion'), { section: 'companion', title: 'Companion', load: () => import('../screens/Companion.svelte') }],
  [one('/settings/notifications'), { section: 'settings', title: 'Notifications', under: ['Settings', '/settings'], load: () => import('../screens/settings/Notifications.svelte') }],
  [one('/settings'), { section: 'settings', title: 'Settings', load: () => import('../screens/Settings.svelte') }],
];

/** The route of a path, with the id in it. */
export function match(path: string): { route: Route; id: string } | null {
  for (const [pattern, route] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { route, id: found[1] ?? '' };
  }
  return null;
}
