// Status, missions, approvals, agents.
import { get, post } from './api.js';
import { badge, button, element, facts, panel, rank, rows, when } from './dom.js';
import { calmly } from './live.js';

export async function overview() {
  const status = element('div');
  const missions = element('div');
  const approvals = element('div');
  const agents = element('div');
  const node = element('div', { class: 'stack' }, status,
    element('div', { class: 'columns' }, missions, element('div', { class: 'stack' }, approvals, agents)));

  const parts = [
    async () => status.replaceChildren(organism(await get('/v1/nexusmon/organism/status'))),
    async () => missions.replaceChildren(missionList(await get('/v1/engine/missions?limit=50'))),
    async () => {
      // What a person types into an approval must not vanish under them.
      if (approvals.contains(document.activeElement)) return;
      approvals.replaceChildren(approvalList(await get('/v1/governance/approvals?status=pending')));
    },
    async () => agents.replaceChildren(agentList(await get('/v1/fleet/agents?limit=200'))),
  ];
  const refresh = () => Promise.all(parts.map((part) => part()));
  await refresh();
  return { node, changed: calmly(() => refresh().catch(() => {})), leave: null };
}

function organism(status) {
  const next = status.next_stage;
  return panel('Organism', element('span', { class: 'muted' }, `version ${status.version}`),
    facts([
      ['Stage', status.stage],
      ['XP', status.xp],
      ['Verified missions', next ? `${status.verified_missions} of ${next.at}` : status.verified_missions],
      ...Object.entries(status.workers).map(([name, count]) => [`Slots ${name}`, count]),
      ...Object.entries(status.operator_load).filter(([, count]) => count > 0)
        .map(([name, count]) => [name.replaceAll('_', ' '), count]),
    ]));
}

function missionList(page) {
  const row = (mission) => element('li', {},
    rank(mission.rank),
    element('a', { class: 'wide', href: `#/missions/${mission.id}` }, mission.goal || mission.id),
    badge(mission.status),
    element('span', { class: 'muted' }, when(mission.created_at)));
  return panel('Missions', page.next_cursor ? element('span', { class: 'muted' }, 'the newest 50') : null,
    rows(page.items, row, 'No mission yet. Create one: nexusmon mission run mission.yaml'));
}

function approvalList(page) {
  const row = (approval) => {
    const comment = element('input', { placeholder: 'Why', 'aria-label': 'Comment' });
    const decide = (verdict) => () => post(`/v1/governance/approvals/${approval.id}/decisions`,
      { digest: approval.digest, verdict, comment: comment.value || null });
    return element('li', {},
      rank(approval.rank),
      element('a', { class: 'wide', href: `#/missions/${approval.mission}` }, approval.summary || approval.mission),
      element('span', { class: 'muted' }, `until ${when(approval.decide_by)}`),
      element('span', { class: 'mono' }, approval.digest),
      comment,
      element('span', { class: 'actions' },
        button('Approve', 'primary', decide('approve')), button('Reject', 'danger', decide('reject'))));
  };
  return panel('Approvals', null, rows(page.items, row, 'Nothing waits for you.'));
}

function agentList(page) {
  const row = (agent) => element('li', {},
    element('span', { class: 'wide' }, agent.name),
    element('span', { class: 'muted' }, `${agent.slots_used}/${agent.slots}`),
    rank(agent.max_rank),
    badge(agent.status));
  return panel('Agents', null, rows(page.items, row, 'No agent yet. Invite one: nexusmon agent invite --name NAME'));
}
