import { expect, test } from 'vitest';
import type { Approval } from '$lib/types';
import { replaced, replaces } from './replaced';

const asked = (act: object) => ({ proposal: { comment: 'why', act } }) as unknown as Approval;

test('ceilings are held against those there are; what has no text is held against nothing', async () => {
  const act = replaces(asked({ kind: 'budget', from: { tasks: 10, attempts: 5 }, to: { tasks: 20, attempts: 5 } }));
  expect(await replaced(act ?? {}, new AbortController().signal)).toEqual({ what: 'the ceilings it has', older: 'attempts: 5\ntasks: 10', newer: 'attempts: 5\ntasks: 20' });
  expect(replaces(asked({ kind: 'policy_change', from: 'ab', to: 'cd', text: 'permit' }))).not.toBeNull();
  expect(replaces(asked({ kind: 'policy_change', from: 'ab', to: 'cd' }))).toBeNull();
  expect(replaces(asked({ kind: 'halt_release', number: 1 }))).toBeNull();
  expect(replaces({ proposal: null } as unknown as Approval)).toBeNull();
});
