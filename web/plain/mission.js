// One mission: its tasks with why they wait, its artifacts, and a live log.
import { get, post } from './api.js';
import { badge, button, element, facts, panel, rank, rows, when } from './dom.js';
import { calmly } from './live.js';

const OVER = ['succeeded', 'failed', 'cancelled', 'rejected', 'expired'];
/** Lines of a log the page keeps; the whole is one click away. */
const KEPT = 2000;

export async function mission(id) {
  const head = element('div');
  const log = element('div');
  let following = null;
  const follow = (task) => {
    following?.close();
    following = new EventSource(`/v1/engine/tasks/${task.task_id}/log/live`);
    log.replaceChildren(logPanel(task, following));
  };
  const refresh = async () => head.replaceChildren(summary(await get(`/v1/engine/missions/${id}`), follow, refresh));
  await refresh();
  const calm = calmly(() => refresh().catch(() => {}));
  return {
    node: element('div', { class: 'stack' }, head, log),
    changed: (event) => event.mission === id && calm(),
    leave: () => following?.close(),
  };
}

function summary(mission, follow, refresh) {
  const act = (verb, body) => async () => {
    const answer = await post(`/v1/engine/missions/${mission.id}/${verb}`, body);
    if (verb === 'rerun') location.hash = `#/missions/${answer.id}`;
    else await refresh();
  };
  const over = OVER.includes(mission.status);
  const actions = over
    ? [button('Run again', '', act('rerun'))]
    : [
      mission.status === 'ready' ? button('Run', 'primary', act('run')) : null,
      mission.status === 'paused' ? button('Resume', '', act('resume')) : button('Pause', '', act('pause')),
      button('Cancel', 'danger', act('cancel')),
    ];
  const why = mission.status_detail.reason ?? mission.status_detail.cause?.cause?.kind;
  return element('div', { class: 'stack' },
    panel(mission.goal || mission.id, badge(mission.status),
      why ? element('p', {}, why) : null,
      facts([
        ['Rank', `${mission.rank} (${mission.risk})`], ['Created', when(mission.created_at)],
        ['Finished', when(mission.finished_at)], ['XP', mission.xp_awarded],
        ['Predicted', mission.prediction ? `${Math.round(mission.prediction.success * 100)} %` : null],
      ]),
      mission.plan ? element('span', { class: 'mono' }, `plan ${mission.plan.digest}`) : null,
      element('div', { class: 'actions' }, actions)),
    panel('Tasks', element('span', { class: 'muted' }, `${mission.tasks.length} of ${mission.task_counts.total}`),
      rows(mission.tasks, (task) => taskRow(task, follow), 'It has no plan yet.')),
    panel('Artifacts', null, rows(mission.artifacts, artifactRow, 'Nothing kept yet.')));
}

function taskRow(task, follow) {
  const note = task.waiting?.detail ?? task.cause?.detail
    ?? (task.cause ? [task.cause.kind, task.cause.code].filter((part) => part !== undefined).join(' ') : null);
  const outputs = task.outputs && Object.keys(task.outputs).length > 0 ? JSON.stringify(task.outputs) : null;
  return element('li', {},
    rank(task.rank),
    element('span', { class: 'wide' }, `${task.id} `, element('span', { class: 'muted' }, task.uses)),
    note || outputs ? element('span', { class: 'wide mono' }, note ?? outputs) : null,
    task.agent ? element('span', { class: 'muted' }, task.agent.name ?? task.agent.id) : null,
    badge(task.status),
    task.attempt > 0 ? button('Log', '', async () => follow(task)) : null);
}

const artifactRow = (artifact) => element('li', {},
  element('a', { class: 'wide', href: `/v1/vault/artifacts/${artifact.id}/content`, download: true }, artifact.name),
  element('span', { class: 'muted' }, artifact.kind),
  element('span', { class: 'muted' }, `${artifact.latest.size.toLocaleString()} bytes`),
  element('span', { class: 'mono' }, artifact.latest.digest.slice(0, 16)));

function logPanel(task, stream) {
  const text = element('pre', { class: 'log', tabindex: '0', 'aria-label': `Log of ${task.id}` });
  const state = badge('live');
  stream.addEventListener('line', (message) => {
    const line = JSON.parse(message.data);
    const down = text.scrollTop + text.clientHeight >= text.scrollHeight - 8;
    text.append(element('span', { class: line.source }, `${line.text}\n`));
    while (text.childElementCount > KEPT) text.firstElementChild.remove();
    if (down) text.scrollTop = text.scrollHeight;
  });
  stream.addEventListener('end', () => {
    stream.close();
    state.textContent = 'complete';
  });
  return panel(`Log of ${task.id}`, state, text,
    element('p', { class: 'muted' }, element('a', { href: `/v1/engine/tasks/${task.task_id}/log`, download: `${task.id}.ndjson` }, 'Download all')));
}
