// What is typed into the forms of triggers, and what is sent of it.
export const KINDS = [['playbook', 'A playbook'], ['mission', 'A mission']] as const;

export interface Draft {
  kind: 'playbook' | 'mission';
  playbook: string;
  inputs: string;
  mission: string;
}

export const SAMPLE = JSON.stringify({ goal: 'say the time', tasks: [{ id: 'say', uses: 'shell.run', with: { script: 'date' } }] }, null, 2);
export const empty = (): Draft => ({ kind: 'playbook', playbook: '', inputs: '{}', mission: SAMPLE });

export interface Made {
  playbook?: string | null;
  inputs?: unknown;
  mission?: unknown;
}

/** As it was kept, to be changed. */
export function drafted({ playbook, inputs, mission }: Made): Draft {
  const shown = (value: unknown) => JSON.stringify(value ?? {}, null, 2);
  return playbook ? { kind: 'playbook', playbook, inputs: shown(inputs), mission: SAMPLE } : { kind: 'mission', playbook: '', inputs: '{}', mission: shown(mission) };
}

/** The fields to send, or what is wrong with the text. */
export function work(draft: Draft): { fields: Made; problem: string } {
  const text = draft.kind === 'playbook' ? draft.inputs : draft.mission;
  let value: unknown;
  try {
    value = JSON.parse(text.trim() || '{}');
  } catch (error) {
    return { fields: {}, problem: `${draft.kind === 'playbook' ? 'The inputs are' : 'The mission is'} not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { fields: {}, problem: 'It has to be a JSON object.' };
  if (draft.kind === 'mission') return { fields: { mission: value }, problem: '' };
  return draft.playbook.trim() ? { fields: { playbook: draft.playbook.trim(), inputs: value }, problem: '' } : { fields: {}, problem: 'Name the playbook.' };
}

/** `2031-05-01T12:00:00+09:00[Asia/Tokyo]` as `Thu 2031-05-01 12:00`. */
export function wall(local: string): string {
  const [date = '', time = ''] = local.slice(0, 16).split('T');
  const day = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][new Date(`${date}T00:00:00Z`).getUTCDay()] ?? '';
  return `${day} ${date} ${time}`.trim();
}
/** The offset of the same. */
export const offset = (local: string): string => /([+-]\d\d:\d\d)/.exec(local.slice(16))?.[1] ?? 'Z';

/** Seconds as they are typed: `5m`, `90s`. */
export const span = (seconds: number): string => (seconds === 0 ? '' : seconds % 3600 === 0 ? `${seconds / 3600}h` : seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`);
