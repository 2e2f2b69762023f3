import { describe, expect, it } from 'vitest';
import { byInput, fieldsOf, fill, referenceOf } from './fields';
import { asJson, asYaml } from './text';

const SCHEMA = {
  properties: {
    days: { type: 'integer', minimum: 7, maximum: 90, default: 30 },
    folder: { type: 'string', pattern: '^/srv/', title: 'Folder', description: 'where' },
    deep: { type: 'boolean' },
    stage: { enum: ['a', 'b', 3], default: 'b' },
    hosts: { type: 'array', items: { type: 'string' } },
    more: { type: 'object' },
  },
  required: ['folder', 'days'],
};

describe('the form of a playbook', () => {
  const fields = fieldsOf(SCHEMA);
  it('asks for what is needed first, with bounds in words', () => {
    expect(fields.map(({ name, kind, required, initial }) => [name, kind, required, initial])).toEqual([
      ['folder', 'text', true, ''], ['days', 'number', false, '30'], ['deep', 'choice', false, ''], ['stage', 'choice', false, 'b'], ['hosts', 'list', false, ''], ['more', 'json', false, ''],
    ]);
    expect(fields[0]).toMatchObject({ title: 'Folder', about: 'where', hint: 'matches ^/srv/' });
    expect(fields[1]?.hint).toBe('7 to 90');
  });
  it('sends values of their types, and leaves out what is left empty', () => {
    expect(fill(fields, { folder: '/srv/x', deep: 'yes', stage: '3', hosts: 'a\n\n b ', more: '{"x":1}', days: '' })).toEqual({ inputs: { folder: '/srv/x', deep: true, stage: 3, hosts: ['a', 'b'], more: { x: 1 } }, problems: {} });
    expect(fill(fields, {}).inputs).toEqual({ days: 30, stage: 'b' });
  });
  it('says what cannot be sent', () => {
    expect(fill(fields, { days: 'x', stage: 'z', more: '{' }).problems).toEqual({ folder: 'is needed', days: 'is no number', stage: 'is none of the choices', more: 'is not JSON: texts stand in quotes' });
  });
  it('may be any schema at all', () => {
    for (const schema of [null, [], 'x', {}, { properties: [] }, { properties: { a: null, b: 7, c: { enum: [] } }, required: 'a' }]) expect(Array.isArray(fieldsOf(schema))).toBe(true);
  });
  it('puts refusals at their inputs', () => {
    expect(byInput([{ pointer: '/inputs/a~1b/0', detail: 'x' }, { pointer: '/inputs/a~1b', detail: 'y' }, { pointer: '/goal', detail: 'z' }])).toEqual({ at: { 'a/b': 'x; y' }, rest: [{ pointer: '/goal', detail: 'z' }] });
  });
});

describe('a playbook as text', () => {
  it('is its body, and reads back as it', async () => {
    const { parse } = await import('yaml');
    const body = { name: 'x', tasks: [{ id: 'a', with: { script: 'one\ntwo: 3\n' } }], note: '@: #' } as never;
    expect(parse(await asYaml({ body }))).toEqual(body);
    expect(JSON.parse(asJson({ body }))).toEqual(body);
  });
  it('is named in an address', () => {
    expect(referenceOf('clear@3')).toEqual({ name: 'clear', version: 3 });
    expect(referenceOf('clear')).toEqual({ name: 'clear', version: null });
    for (const text of ['', '@1', 'a b', 'x@0', 'x@1@2', '../x']) expect(referenceOf(text)).toBeNull();
  });
});
