// Work of every kind, for the screens to show.
import { hostile } from './system.mjs';

const shell = (id, script, more = {}) => ({ id, uses: 'shell.run', with: { script }, ...more });

/** Creates missions and waits until the quick ones are over. */
export async function seed({ api, until }) {
  const create = (mission) => api('POST', '/v1/engine/missions', mission);
  const sample = await create({
    goal: 'Rotate edge certificates, three regions',
    labels: { team: 'edge' },
    tasks: [
      shell('plan', 'echo planned'),
      shell('fetch', 'for n in $(seq 1 400); do echo "line $n of the fetch"; done; seq 1000 > out.csv', { needs: ['plan'], artifacts: ['*.csv'] }),
      shell('precheck', "printf '\\033[32mok\\033[0m certificates read, see https://example.com/ca\\n'; printf '\\033[33mwarn\\033[0m staple missing\\n' >&2", { needs: ['plan'] }),
      shell('list', 'printf \'{"nodes": [1,2,3,4,5,6,7,8,9,10,11,12]}\' > "$NEXUSMON_OUTPUTS"', { needs: ['precheck', 'fetch'] }),
      shell('stage', 'echo stage $N', { needs: ['list'], for_each: { in: 'tasks.list.outputs.nodes', max: 20 }, with: { script: 'echo "stage node $N"', env: { N: '${{ string(item) }}' } } }),
      shell('eu', 'echo eu', { needs: ['stage'] }),
      shell('us', 'echo us', { needs: ['stage'] }),
      shell('verify', 'printf \'{"checked": 24}\' > "$NEXUSMON_OUTPUTS"; echo verified; echo report > report.md', { needs: ['eu', 'us'], artifacts: ['report.md'] }),
      shell('notify', 'echo done', { needs: ['verify'] }),
    ],
  });
  const broken = await create({ goal: 'Fails on purpose', tasks: [shell('boom', 'echo about to fail; exit 3'), shell('after', 'true', { needs: ['boom'] })] });
  const hostileOne = await create({ goal: `print ${hostile}`, tasks: [shell('say', `printf '%s\\n' "hello <b>bold</b>"; printf 'a\\342\\200\\256b\\n'`)] });
  const approval = await create({
    goal: 'Roll out chain v3 to the edge',
    tasks: [shell('rollout', 'systemctl reload edge\nid', { sandbox: 'none' }), shell('check', 'echo probes', { needs: ['rollout'] })],
  });
  const running = await create({ goal: 'Soak the canary for a while', tasks: [shell('soak', 'for n in $(seq 1 600); do echo "probe $n p50 11 ms"; sleep 0.5; done'), shell('seal', 'echo sealed', { needs: ['soak'] })] });
  await create({ goal: 'Somebody should plan this' });
  await Promise.all([sample, broken, hostileOne].map(({ id }) => until(id, 'succeeded', 'failed')));
  return { sample, broken, hostile: hostileOne, approval, running };
}
