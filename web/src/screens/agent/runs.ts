// What a machine holds leases for: of the newest grants to it, those that nobody has settled since.
import { api, ok } from '$lib/api';
import { isDone } from '$lib/states';
import type { Agent, AuditEntry, TaskDetail } from '$lib/types';

const PAGES = 3;

interface Said { agent?: unknown; fence?: unknown }
const key = (entry: AuditEntry): string => `${entry.subject} ${String((entry.body as Said).fence)}`;

/** Grants to this agent whose fence was not settled, newest first, each task once. */
export function open(agent: string, granted: readonly AuditEntry[], settled: readonly AuditEntry[]): string[] {
  const over = new Set(settled.map(key));
  const newest = new Map<string, AuditEntry>();
  for (const entry of granted) if ((entry.body as Said).agent === agent && !newest.has(entry.subject)) newest.set(entry.subject, entry);
  return [...newest.values()].filter((entry) => !over.has(key(entry))).map((entry) => entry.subject);
}

/** Its running tasks, as many as it says it has: older grants than the newest are not looked through without an end. */
export async function runs(agent: Agent, signal: AbortSignal): Promise<TaskDetail[]> {
  if (agent.slots_used === 0) return [];
  const settled = (await ok(api.GET('/v1/governance/audit', { params: { query: { actor: agent.id, action: 'task.settled', limit: 200 } }, signal }))).items;
  const granted: AuditEntry[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page++) {
    const next = await ok(api.GET('/v1/governance/audit', { params: { query: { action: 'task.granted', limit: 200, cursor } }, signal }));
    granted.push(...next.items);
    cursor = next.next_cursor ?? undefined;
    if (!cursor || open(agent.id, granted, settled).length >= agent.slots_used) break;
  }
  const looked = open(agent.id, granted, settled).slice(0, Math.min(32, agent.slots_used * 2));
  const tasks = await Promise.all(looked.map((id) => ok(api.GET('/v1/engine/tasks/{id}', { params: { path: { id } }, signal })).catch(() => null)));
  return tasks.filter((task): task is TaskDetail => task !== null && !isDone(task.status) && task.agent?.id === agent.id);
}
