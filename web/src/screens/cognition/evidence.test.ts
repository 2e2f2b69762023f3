import { expect, test } from 'vitest';
import { blank, filled, leads, named } from './evidence';

const MISSION = `mis_${'0'.repeat(26)}`;

test('what was not typed is not sent, and a note has no id', () => {
  const rows = [blank(), { kind: 'mission', id: ` ${MISSION} `, note: '' }, { kind: 'note', id: 'left over', note: ' seen by eye ' }, { kind: 'audit', id: '17', note: 'there' }];
  expect(filled(rows)).toEqual([{ kind: 'mission', id: MISSION }, { kind: 'note', note: 'seen by eye' }, { kind: 'audit', id: '17', note: 'there' }]);
});

test('evidence leads to its screen, and nowhere else', () => {
  expect(leads({ kind: 'mission', id: MISSION })).toBe(`/organism/missions/${MISSION}`);
  expect(leads({ kind: 'audit', id: '17' })).toBe('/organism/audit?entry=17');
  expect(leads({ kind: 'mission', id: '../../elsewhere' })).toBeNull();
  expect(leads({ kind: 'task', id: `tsk_${'0'.repeat(26)}` })).toBeNull();
  expect(named({ kind: 'audit', id: '17' })).toBe('audit 17');
  expect(named({ kind: 'note', note: 'x' })).toBe('note');
});
