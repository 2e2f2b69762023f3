import { describe, expect, it } from 'vitest';
import type { Approval } from '$lib/types';
import { base64, isBound, isMasked, isName, listed, outdated, type Secret } from './secrets';
import { boundsOf, commandOf, nearMisses, standingLook } from './standing';

describe('a secret', () => {
  it('is known by a name and bound by lists', () => {
    expect([isName('api-token'), isName(''), isName('-x'), isName('a b'), isName('x'.repeat(65))]).toEqual([true, false, false, false, false]);
    expect(listed(' b, a\nb ,')).toEqual(['a', 'b']);
    expect([isBound({ playbooks: [], agents: [], hosts: [] }), isBound({ playbooks: [], agents: [], hosts: ['h'] })]).toEqual([false, true]);
  });
  it('says whether logs will be masked', () => {
    const of = (text: string) => isMasked(new TextEncoder().encode(text));
    expect([of('abcdef'), of('abcde'), of('ababab'), of('')]).toEqual([true, false, false, false]);
  });
  it('goes over as base64, however long', () => {
    const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => at % 256);
    expect([...Uint8Array.from(atob(base64(bytes)), (each) => each.charCodeAt(0))]).toEqual([...bytes]);
  });
  it('knows who holds an earlier value', () => {
    const secret = { version: 2, received: [{ agent: 'a', version: 1 }, { agent: 'b', version: 2 }] } as unknown as Secret;
    expect(outdated(secret).map((each) => each.agent)).toEqual(['a']);
  });
});

describe('a standing approval', () => {
  const id = `sta_${'0'.repeat(26)}`;
  it('is read as far as it fits', () => {
    expect(boundsOf({ max_rank: 'A', selector: { agents: ['agt_1', 3] }, input_schema: { type: 'object' } })).toEqual({ rank: 'A', machines: ['agt_1'], schema: { type: 'object' } });
    for (const odd of [null, 'x', [], { selector: [], input_schema: 7 }]) expect(boundsOf(odd)).toEqual({ rank: '', machines: [], schema: {} });
    expect(standingLook('pondering').label).toBe('pondering');
  });
  it('is told what nearly fitted, from the notes of what waits', () => {
    const approval = (notes: string[]) => ({ id: 'apr', mission: 'mis', summary: 's', notes }) as unknown as Approval;
    const found = nearMisses([approval(['something else', `the standing approval ${id} does not cover it: the inputs do not fit:\n/folder`]), approval([])]);
    expect([...found]).toEqual([[id, [{ approval: 'apr', mission: 'mis', summary: 's', why: 'the inputs do not fit:\n/folder' }]]]);
  });
  it('is asked for by one line that a shell cannot misread', () => {
    expect(commandOf({ playbook: 'clear@2', uses: 3, hours: 24, agent: '', label: 'role=backup' })).toBe('nexusmon standing add clear@2 --uses 3 --valid-for 24h --label role=backup --comment "…"');
    expect(commandOf({ playbook: '', uses: 1, hours: 1, agent: "a'; id", label: '' })).toContain(`--agent 'a'\\''; id'`);
  });
});
