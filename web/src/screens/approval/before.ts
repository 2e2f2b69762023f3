// The last approved plan of the same kind, and both as text, so that what is new is seen and not looked for.
import { api, ok } from '$lib/api';
import type { Approval, Mission } from '$lib/types';
import { decidedAt } from './methods';

export interface Sealed { digest: string; header: Record<string, unknown>; tasks: Record<string, unknown>[] }
/** Why one plan is held against another, the closest kin first. */
export type Kin = 'playbook' | 'rerun' | 'goal' | 'tasks';
export interface Before { approval: Approval; kin: Kin; older: string; newer: string }

/** Approvals that are looked through, and plans that are read of them. */
const MOST = 1000;
const READ = 12;
const KIN: Kin[] = ['playbook', 'rerun', 'goal', 'tasks'];

const empty = (value: unknown): boolean => value === null || value === undefined || (typeof value === 'object' && Object.keys(value).length === 0);

/** As indented lines, fields by name, texts of several lines as they are; what says nothing is left out. */
export function lines(value: unknown, indent = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => (typeof each === 'object' && each !== null ? [`${indent}-`, ...lines(each, `${indent}  `)] : [`${indent}- ${JSON.stringify(each)}`]));
  return Object.entries(value as Record<string, unknown>)
    .filter(([, each]) => !empty(each))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, each]) => {
      if (typeof each === 'string' && each.includes('\n')) return [`${indent}${name}: |`, ...each.split('\n').map((line) => `${indent}  ${line}`)];
      if (typeof each === 'object') return [`${indent}${name}:`, ...lines(each, `${indent}  `)];
      return [`${indent}${name}: ${typeof each === 'string' ? each : JSON.stringify(each)}`];
    });
}

/** What is decided over, without what differs between any two missions. */
export function written({ header, tasks }: Sealed): string {
  const rest = Object.fromEntries(Object.entries(header).filter(([name]) => !['mission', 'author', 'policy_digest'].includes(name)));
  const each = tasks.flatMap(({ id, ...task }) => ['', `task ${String(id)}`, ...lines(task, '  ')]);
  return [...lines(rest), ...each].join('\n');
}

/** Its name: the header has it with the version. */
const playbook = ({ header }: Sealed): string | null => (typeof header.playbook === 'string' ? (header.playbook.split('@')[0] ?? null) : null);
const shape = ({ tasks }: Sealed): string => tasks.map(({ id, uses }) => `${String(id)} ${String(uses)}`).sort().join('\n');

/** What makes them kin; nothing where they have nothing to do with each other. */
export function kin(now: Sealed, then: Sealed, rerun: boolean): Kin | null {
  const of = playbook(now);
  if (of !== null && of === playbook(then)) return 'playbook';
  if (rerun) return 'rerun';
  if (now.header.goal === then.header.goal) return 'goal';
  return shape(now) === shape(then) ? 'tasks' : null;
}

const plan = async (id: string, signal: AbortSignal): Promise<Sealed | null> =>
  ok(api.GET('/v1/engine/missions/{id}/plan', { params: { path: { id } }, signal })).then((found) => found as unknown as Sealed, () => null);

export async function before(approval: Approval, mission: Mission, signal: AbortSignal): Promise<Before | null> {
  const now = await plan(mission.id, signal);
  if (!now || now.digest !== approval.digest) return null;
  const approved: Approval[] = [];
  let cursor: string | undefined;
  do {
    const page = await ok(api.GET('/v1/governance/approvals', { params: { query: { status: 'approved', limit: 200, cursor } }, signal }));
    approved.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && approved.length < MOST);
  const earlier = approved
    .filter((each) => each.subject_kind === 'mission_plan' && each.mission && each.mission !== mission.id && decidedAt(each) < (approval.decided_at ?? '9'))
    .sort((a, b) => decidedAt(b).localeCompare(decidedAt(a)));
  const alike = earlier.filter((each) => each.mission === mission.rerun_of || each.summary === approval.summary).slice(0, 2);
  const looked = [...new Set([...alike, ...earlier])].slice(0, READ);
  const found = await Promise.all(looked.map(async (each) => {
    const then = await plan(each.mission ?? '', signal);
    // A plan that was replaced since is not the one that was approved.
    const how = then && then.digest === each.digest ? kin(now, then, each.mission === mission.rerun_of) : null;
    return then && how ? [{ approval: each, kin: how, older: written(then), newer: written(now) }] : [];
  }));
  const [closest] = found.flat().sort((a, b) => KIN.indexOf(a.kin) - KIN.indexOf(b.kin) || decidedAt(b.approval).localeCompare(decidedAt(a.approval)));
  return closest ?? null;
}
