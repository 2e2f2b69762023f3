// Work of a size that shows where a page gives in: a log of a million lines, a graph of a thousand tasks, a feed of a
// hundred thousand missions. What it takes to set them up, for the tests that count and the bench that measures.
const shell = (id, script, more = {}) => ({ id, uses: 'shell.run', with: { script }, ...more });

export const LINES = 1_000_000;
/** A mission whose one task writes a million lines, in one go, and is over. */
export async function longLog({ api, until }) {
  const made = await api('POST', '/v1/engine/missions', { goal: 'Write a million lines', tasks: [shell('write', `seq -f 'entry %.0f of the long log' ${LINES}`)] });
  const { status } = await until(made.id, 'succeeded', 'failed');
  if (status !== 'succeeded') throw new Error(`the long log: ${status}`);
  for (;;) {
    const { tasks } = await api('GET', `/v1/engine/missions/${made.id}`);
    const log = await api('GET', `/v1/engine/tasks/${tasks[0].task_id}`);
    if (log.status === 'succeeded') return { ...made, tasks };
  }
}

export const TASKS = 1000;
/** A plan of a thousand tasks, forty wide, each needing up to three of the layer before it. */
export const wideGraph = ({ api }) => {
  const wide = 40;
  const tasks = Array.from({ length: TASKS }, (_, at) => {
    const [layer, row] = [Math.floor(at / wide), at % wide];
    const needs = layer === 0 ? [] : [...new Set([row, (row * 7 + layer) % wide, (row + 1) % wide])].slice(0, 1 + (at % 3)).map((each) => `t${(layer - 1) * wide + each}`);
    return shell(`t${at}`, 'true', { needs });
  });
  return api('POST', '/v1/engine/missions', { goal: 'A thousand tasks', start: 'manual', tasks });
};

export const MISSIONS = 100_000;
/**
 * A feed of a hundred thousand missions, page by page as the coordinator would answer: what a listing costs there is
 * measured there (`docs/performance.md`); this is about what the page makes of it.
 */
export async function longFeed(page, most = MISSIONS) {
  const began = Date.parse('2026-01-01T00:00:00Z');
  const summary = (at) => ({
    id: `mis_${String(at).padStart(26, '0')}`, goal: `mission ${at}`, status: at % 7 === 0 ? 'failed' : 'succeeded', rank: 'EDCB'[at % 4], origin: 'person', labels: { n: String(at % 10) },
    task_counts: { total: 3, open: 0, succeeded: at % 7 === 0 ? 2 : 3, failed: at % 7 === 0 ? 1 : 0 },
    created_at: new Date(began - at * 1000).toISOString(), started_at: new Date(began - at * 1000).toISOString(), finished_at: new Date(began - at * 1000 + 5000).toISOString(),
  });
  const asked = [];
  await page.route(/\/v1\/engine\/missions\?/, (route) => {
    const query = new URL(route.request().url()).searchParams;
    const from = Number(query.get('cursor') ?? 0);
    const limit = Number(query.get('limit') ?? 50);
    asked.push(limit);
    const items = Array.from({ length: Math.max(0, Math.min(limit, most - from)) }, (_, at) => summary(from + at));
    return route.fulfill({ json: { items, next_cursor: from + limit < most ? String(from + limit) : null } });
  });
  return asked;
}

/** Counts, in every page of a context, what the tabs tell each other about the stream of events. */
export const overhear = (context) => context.addInitScript(() => {
  globalThis.overheard = [];
  new BroadcastChannel('nexusmon.events').addEventListener('message', ({ data }) => data.kind === 'change' && globalThis.overheard.push([data.change.seq, data.change.kind, data.change.subject]));
});
