import { expect, test } from 'vitest';
import type { AuditEntry } from '$lib/types';
import { open } from './runs';

const entry = (subject: string, agent: string, fence: string) => ({ subject, body: { agent, fence } }) as unknown as AuditEntry;

test('a lease is open until the attempt it was granted for is settled', () => {
  const granted = [entry('c', 'one', '1.1'), entry('b', 'one', '1.2'), entry('b', 'one', '1.1'), entry('a', 'one', '1.1'), entry('d', 'two', '1.1')];
  const settled = [entry('b', 'one', '1.1'), entry('a', 'one', '1.1')];
  expect(open('one', granted, settled)).toEqual(['c', 'b']);
  expect(open('two', granted, settled)).toEqual(['d']);
  expect(open('three', granted, settled)).toEqual([]);
});
