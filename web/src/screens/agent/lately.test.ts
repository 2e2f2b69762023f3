import { expect, test } from 'vitest';
import { farewell, lately } from './lately';

const entry = (action: string, body: object) => ({ action, body: body as Record<string, never> });

test('last words are in words, whatever the log holds', () => {
  expect(lately(entry('agent.lost', { last_seen: '2031-05-01T12:00:00Z' })).more).toMatch(/^last seen 1 May 2031/);
  expect(lately(entry('agent.lost', { last_seen: 'never' }))).toEqual({ glyph: 'fail', say: 'Lost: nothing was heard of it', more: '' });
  expect(lately(entry('agent.connected', { held: 2, stale: 1 })).more).toBe('it came back with 2 attempts; 1 attempt of before did not count any more');
  expect(lately(entry('agent.drain_requested', { reason: 'the fan' })).more).toBe('the fan');
  expect(lately(entry('agent.moved_house', {})).say).toBe('Moved house');
  expect(farewell('quarantined')).toBe('it was quarantined');
  expect(farewell(null)).toMatch(/^the line broke/);
});
