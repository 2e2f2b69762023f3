// What an approval is about, read from the plan itself.
import { api, ok } from '$lib/api';
import { minuteTime, plural, shown, some } from '$lib/text';
import type { Approval, DryRun, Mission, Rank, TaskDetail } from '$lib/types';
import { RANKS } from '$lib/types';
import { summaryOf } from '$lib/summary';
import { boundsOf, type Bounds } from '../governance/standing';

export interface About {
  approval: Approval;
  /** Absent for acts beside work: policies, the kill switch, traits, standing approvals. */
  mission: Mission | null;
  /** Tasks of the highest rank first, with their leaves, as many as are looked at. */
  tasks: TaskDetail[];
  /** How the plan would be judged now; absent where it cannot be asked. */
  judged: DryRun | null;
  /** Some tasks of the plan are not in `tasks`. */
  partial: boolean;
}

const LOOKED_AT = 40;
const weight = (rank: Rank) => RANKS.indexOf(rank);

/** As somebody could have typed it: which machines a plan names is decided when it is made, and nobody may say. */
function typed(task: TaskDetail): object {
  const spec = task.spec as { on?: Record<string, unknown> };
  const on = Object.fromEntries(Object.entries(spec.on ?? {}).filter(([name]) => name !== 'agents'));
  return { ...spec, on };
}

export async function about(id: string, signal: AbortSignal): Promise<About> {
  const approval = await ok(api.GET('/v1/governance/approvals/{id}', { params: { path: { id } }, signal }));
  if (!approval.mission) return { approval, mission: null, tasks: [], judged: null, partial: false };
  const mission = await ok(api.GET('/v1/engine/missions/{id}', { params: { path: { id: approval.mission } }, signal }));
  const planned = mission.tasks.filter((task) => task.index === null || task.index === undefined);
  const looked = [...planned].sort((a, b) => weight(b.rank) - weight(a.rank)).slice(0, LOOKED_AT);
  const tasks = await Promise.all(looked.map((task) => ok(api.GET('/v1/engine/tasks/{id}', { params: { path: { id: task.task_id } }, signal }))));
  const partial = looked.length < planned.length || mission.task_counts.total > mission.tasks.length;
  let judged: DryRun | null = null;
  if (!partial && approval.status === 'pending') {
    const byPlan = new Map(tasks.map((task) => [task.id, typed(task)]));
    const body = { goal: mission.goal, rank: mission.requested_rank ?? undefined, inputs: Object.keys(mission.inputs).length > 0 ? mission.inputs : undefined, tasks: planned.map((task) => byPlan.get(task.id)) };
    judged = await ok(api.POST('/v1/engine/missions/dry-run', { body: body as never, signal })).catch(() => null);
  }
  return { approval, mission, tasks, judged, partial };
}

interface Spec {
  uses?: string;
  sandbox?: { profile?: string; network?: string[]; paths?: { path: string; write?: boolean }[] };
  spawn?: { capabilities: string[]; max: number; rank: string };
  on?: { labels?: Record<string, string>; agent?: string; same_as?: string };
  effects?: Record<string, boolean>;
  with?: Record<string, unknown>;
}
export const specOf = (task: TaskDetail): Spec => task.spec as Spec;

const SANDBOXES: Record<string, string> = {
  none: 'outside of any sandbox, with the agent’s own rights',
  user: 'as a user of the machine, with the paths it lists',
  network: 'in a sandbox that reaches the hosts it lists',
  strict: 'in a sandbox without network',
};

/** The bounds of a standing approval that is asked for, as far as they can be read. */
export function standingOf(approval: Approval): (Bounds & { uses: number; until: string }) | null {
  if (approval.subject_kind !== 'standing_approval') return null;
  const { uses, expires_at: until } = (approval.proposal ?? {}) as { uses?: unknown; expires_at?: unknown };
  const bounds = boundsOf(approval.proposal);
  if (typeof uses !== 'number' || typeof until !== 'string' || Number.isNaN(Date.parse(until)) || bounds.machines.length === 0) return null;
  return { ...bounds, uses, until };
}

/** One sentence of what will happen. */
export function sentence({ approval, mission, tasks, judged }: About): string {
  const ahead = standingOf(approval);
  if (ahead) return `If enough people approve, work of exactly this shape starts up to ${plural(ahead.uses, 'time')} on ${plural(ahead.machines.length, 'machine')} at rank ${ahead.rank} or below, until ${minuteTime(ahead.until)}, and nobody is asked again.`;
  if (!mission || approval.proposal) return `If enough people approve, this is done at once: ${summaryOf(approval)}.`;
  const grave = tasks.filter((task) => task.rank === approval.rank);
  const names = some(grave.map((task) => shown(task.id, 60)));
  const machines = judged ? some(judged.blast_radius.machines.map((each) => shown(each, 60))) : '';
  const profiles = [...new Set(grave.map((task) => specOf(task).sandbox?.profile ?? 'strict'))];
  const where = machines ? `on ${machines}` : 'on the first agent that may take it';
  const how = profiles.map((each) => SANDBOXES[each] ?? `in sandbox ${each}`).join(', and ');
  // Where no task alone is as grave as the whole, all of them were named already.
  const rest = grave.length === 0 ? 0 : mission.task_counts.total - grave.length;
  return `If you approve, ${grave.length === 0 ? plural(mission.task_counts.total, 'task') : names} ${grave.length === 1 ? 'runs' : 'run'} ${where}, ${how || 'as planned'}${rest > 0 ? `; ${plural(rest, 'other task')} of lower rank ${rest === 1 ? 'runs' : 'run'} with ${grave.length === 1 ? 'it' : 'them'}` : ''}.`;
}
