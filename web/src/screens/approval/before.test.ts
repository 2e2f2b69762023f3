import { expect, test } from 'vitest';
import { kin, lines, written, type Sealed } from './before';

const sealed = (header: object, tasks: object[] = [{ id: 'a', uses: 'shell.run' }]): Sealed => ({ digest: '', header: { goal: 'g', playbook: null, ...header }, tasks: tasks as Record<string, unknown>[] });

test('a plan is written without what differs between any two missions', () => {
  const one = sealed({ mission: 'mis_1', author: { id: 'x' }, policy_digest: 'p' }, [{ id: 'a', uses: 'shell.run', if: null, artifacts: [], with: { script: 'one\ntwo' }, needs: ['b'], retry: { max: 0, on: [] } }]);
  expect(written(one)).toBe('goal: g\n\ntask a\n  needs:\n    - "b"\n  retry:\n    max: 0\n  uses: shell.run\n  with:\n    script: |\n      one\n      two');
  expect(written(one)).toBe(written(sealed({ mission: 'mis_2', author: { id: 'y' }, policy_digest: 'q' }, one.tasks)));
});

test('lists of things are lines, too', () => {
  expect(lines({ paths: [{ path: '/etc', write: true }] })).toEqual(['paths:', '  -', '    path: /etc', '    write: true']);
});

test('the closest kin counts, and strangers are none', () => {
  const now = sealed({ playbook: 'edge@2' });
  expect(kin(now, sealed({ playbook: 'edge@1' }), true)).toBe('playbook');
  expect(kin(now, sealed({}), true)).toBe('rerun');
  expect(kin(now, sealed({}), false)).toBe('goal');
  expect(kin(now, sealed({ goal: 'another' }), false)).toBe('tasks');
  expect(kin(now, sealed({ goal: 'another' }, [{ id: 'b', uses: 'core.noop' }]), false)).toBeNull();
});
