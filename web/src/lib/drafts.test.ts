import { beforeEach, describe, expect, it } from 'vitest';
import { dropDraft, dropDrafts, keepDraft, readDraft } from './drafts';
import { place, segments } from './places';

describe('a draft', () => {
  beforeEach(() => localStorage.clear());
  it('is what was kept, until it is dropped or emptied', () => {
    expect(keepDraft('mission', { text: 'goal: x', rank: '' }, 7)).toBe(true);
    expect(readDraft('mission')).toEqual({ at: 7, fields: { text: 'goal: x', rank: '' } });
    expect(keepDraft('mission', { text: ' ', rank: '' }, 8)).toBe(false);
    expect(readDraft('mission')).toBeNull();
    keepDraft('a', { text: '1' }, 1);
    dropDraft('a');
    expect(readDraft('a')).toBeNull();
  });
  it('is nothing where the storage holds something else', () => {
    for (const text of ['', 'no json', '[]', '{}', '{"at":1}', '{"at":"x","fields":{}}', 'null']) {
      localStorage.setItem('nexusmon.draft.x', text);
      expect(readDraft('x')).toBeNull();
    }
    localStorage.setItem('nexusmon.draft.x', '{"at":1,"fields":{"a":1,"b":"c"}}');
    expect(readDraft('x')?.fields).toEqual({ b: 'c' });
  });
  it('has a bound, and logging out takes all of them and nothing else', () => {
    expect(keepDraft('big', { text: 'x'.repeat(600_000) }, 1)).toBe(false);
    keepDraft('one', { text: '1' }, 1);
    localStorage.setItem('nexusmon.theme', 'dark');
    dropDrafts();
    expect([readDraft('one'), localStorage.getItem('nexusmon.theme')]).toEqual([null, 'dark']);
  });
});

const PLAN = `goal: x
tasks:
  - id: first
    uses: shell.run
    with: { script: "echo" }
  - id: second
    "a/b~c":
      deep: 1
`;
const at = async (text: string, pointer: string) => {
  const [found] = await place(text, [{ pointer, detail: 'wrong' }]);
  return found && [found.line, found.line === null ? '' : text.slice(found.from, found.to)];
};

describe('the place of a mistake', () => {
  it('is the value, in YAML and in JSON', async () => {
    expect(await at(PLAN, '/tasks/0/uses')).toEqual([4, 'shell.run']);
    expect(await at(PLAN, '/tasks/1/id')).toEqual([6, 'second']);
    expect(await at('{"tasks": [\n {"id": 7}\n]}', '/tasks/0/id')).toEqual([2, '7']);
  });
  it('is the key where the value spans lines, and unescapes the pointer', async () => {
    expect(await at(PLAN, '/tasks/1/a~1b~0c')).toEqual([7, '"a/b~c"']);
    expect(segments('/a~1b~0c/0')).toEqual(['a/b~c', '0']);
  });
  it('is the nearest place around what is missing', async () => {
    expect((await at(PLAN, '/tasks/0/needs/3'))?.[0]).toBe(3);
    expect((await at(PLAN, '/tasks/9/id'))?.[0]).toBe(2);
  });
  it('is found in a list of tasks alone, and nowhere in what is no text', async () => {
    expect(await at('- id: a\n- id: b\n', '/tasks/1/id')).toEqual([2, 'b']);
    expect(await at('', '/goal')).toEqual([null, '']);
    expect((await at(': : [', '/goal'))?.length).toBe(2);
  });
});
