import { describe, expect, test } from 'vitest';
import { drafted, empty, offset, span, wall, work } from './draft';

describe('what is sent of a form', () => {
  test('a playbook with its inputs, or a mission', () => {
    expect(work({ ...empty(), playbook: ' backup@2 ', inputs: '{"day": "${{ trigger.date }}"}' })).toEqual({ fields: { playbook: 'backup@2', inputs: { day: '${{ trigger.date }}' } }, problem: '' });
    expect(work({ ...empty(), kind: 'mission', mission: '{"goal": "x"}' }).fields).toEqual({ mission: { goal: 'x' } });
  });
  test('what cannot be sent says why', () => {
    expect(work({ ...empty(), inputs: '{' }).problem).toContain('The inputs are not JSON');
    expect(work({ ...empty(), inputs: '[]' }).problem).toContain('object');
    expect(work(empty()).problem).toContain('Name the playbook');
    expect(work({ ...empty(), kind: 'mission', mission: 'x' }).problem).toContain('The mission is not JSON');
  });
  test('what was kept comes back as it was', () => {
    const made = { playbook: 'backup', inputs: { a: 1 } };
    expect(work(drafted(made)).fields).toEqual(made);
    expect(work(drafted({ playbook: null, mission: { goal: 'x' } })).fields).toEqual({ mission: { goal: 'x' } });
  });
});

test('times of a zone read as its wall clock shows them', () => {
  expect(wall('2031-05-01T12:00:00+09:00[Asia/Tokyo]')).toBe('Thu 2031-05-01 12:00');
  expect(offset('2031-05-01T12:00:00-05:30[X/Y]')).toBe('-05:30');
  expect(offset('2031-05-01T12:00:00Z[UTC]')).toBe('Z');
  expect([0, 90, 300, 7200].map(span)).toEqual(['', '90s', '5m', '2h']);
});
