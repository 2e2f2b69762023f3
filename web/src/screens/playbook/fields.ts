// A form out of a JSON Schema: what people fill in for each input, and what is sent for it. What the schema says beyond
// that is the coordinator's to judge; it names the input it refuses.
export interface Field {
  name: string;
  title: string;
  about: string;
  kind: 'text' | 'long' | 'number' | 'choice' | 'list' | 'json';
  required: boolean;
  /** What stands there at first: the default. */
  initial: string;
  /** Of a choice: what is sent, by what is shown. */
  options: [string, unknown][];
  /** What the schema bounds, in words. */
  hint: string;
}

type Schema = Record<string, unknown>;
const object = (value: unknown): Schema => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const shownValue = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function hintOf(schema: Schema): string {
  const number = (name: string) => (typeof schema[name] === 'number' ? schema[name] : undefined);
  const [low, high] = [number('minimum') ?? number('minItems'), number('maximum') ?? number('maxItems')];
  const [least, most] = [number('minLength'), number('maxLength')];
  return [
    low !== undefined && high !== undefined ? `${low} to ${high}` : low !== undefined ? `at least ${low}` : high !== undefined ? `at most ${high}` : '',
    least !== undefined || most !== undefined ? `${least ?? 0} to ${most ?? 'any number of'} characters` : '',
    text(schema.format),
    text(schema.pattern) && `matches ${text(schema.pattern)}`,
  ].filter(Boolean).join(', ');
}

function kindOf(schema: Schema): Pick<Field, 'kind' | 'options'> {
  const none: [string, unknown][] = [];
  if (Array.isArray(schema.enum) && schema.enum.length > 0 && schema.enum.length <= 200) return { kind: 'choice', options: schema.enum.map((each) => [shownValue(each), each]) };
  if (schema.type === 'boolean') return { kind: 'choice', options: [['yes', true], ['no', false]] };
  if (schema.type === 'integer' || schema.type === 'number') return { kind: 'number', options: none };
  if (schema.type === 'array' && object(schema.items).type === 'string') return { kind: 'list', options: none };
  // Without a type, a pattern says as much: it is of texts.
  if (schema.type === 'string' || (schema.type === undefined && typeof schema.pattern === 'string')) {
    return { kind: typeof schema.maxLength === 'number' && schema.maxLength > 300 ? 'long' : 'text', options: none };
  }
  return { kind: 'json', options: none };
}

export function fieldsOf(schema: unknown): Field[] {
  const read = object(schema);
  const required = new Set(Array.isArray(read.required) ? read.required : []);
  const fields = Object.entries(object(read.properties)).map(([name, given]): Field => {
    const of = object(given);
    const { kind, options } = kindOf(of);
    const initial = of.default === undefined ? '' : kind === 'choice' ? (options.find(([, value]) => JSON.stringify(value) === JSON.stringify(of.default))?.[0] ?? '') : kind === 'list' && Array.isArray(of.default) ? of.default.join('\n') : kind === 'text' || kind === 'long' ? shownValue(of.default) : JSON.stringify(of.default);
    return { name, title: text(of.title) || name, about: text(of.description), kind, required: required.has(name) && of.default === undefined, initial, options, hint: hintOf(kind === 'list' ? { ...of, pattern: undefined } : of) };
  });
  return [...fields.filter((each) => each.required), ...fields.filter((each) => !each.required)];
}

export interface Filled {
  inputs: Record<string, unknown>;
  /** By the name of the input. */
  problems: Record<string, string>;
}

/** What is sent. What is left empty is left out: the coordinator puts the default in. */
export function fill(fields: readonly Field[], texts: Readonly<Record<string, string>>): Filled {
  const filled: Filled = { inputs: {}, problems: {} };
  for (const field of fields) {
    const given = texts[field.name] ?? field.initial;
    if (given.trim() === '') {
      if (field.required) filled.problems[field.name] = 'is needed';
      continue;
    }
    if (field.kind === 'text' || field.kind === 'long') filled.inputs[field.name] = given;
    else if (field.kind === 'choice') {
      const option = field.options.find(([shown]) => shown === given);
      if (option) filled.inputs[field.name] = option[1];
      else filled.problems[field.name] = 'is none of the choices';
    } else if (field.kind === 'list') filled.inputs[field.name] = given.split('\n').map((each) => each.trim()).filter(Boolean);
    else if (field.kind === 'number') {
      const value = Number(given);
      if (Number.isFinite(value)) filled.inputs[field.name] = value;
      else filled.problems[field.name] = 'is no number';
    } else {
      try {
        filled.inputs[field.name] = JSON.parse(given);
      } catch {
        filled.problems[field.name] = 'is not JSON: texts stand in quotes';
      }
    }
  }
  return filled;
}

/** What the coordinator says of inputs, by name; the rest is about the whole. */
export function byInput(mistakes: readonly { pointer: string; detail: string }[]): { at: Record<string, string>; rest: { pointer: string; detail: string }[] } {
  const at: Record<string, string> = {};
  const rest: { pointer: string; detail: string }[] = [];
  for (const mistake of mistakes) {
    const name = /^\/inputs\/([^/]+)/.exec(mistake.pointer)?.[1]?.replaceAll('~1', '/').replaceAll('~0', '~');
    if (name === undefined) rest.push(mistake);
    else at[name] = at[name] ? `${at[name]}; ${mistake.detail}` : mistake.detail;
  }
  return { at, rest };
}

/** `name@version` as it stands in an address. */
export function referenceOf(given: string): { name: string; version: number | null } | null {
  const [, name, version] = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?:@([1-9]\d{0,8}))?$/.exec(given) ?? [];
  return name ? { name, version: version ? Number(version) : null } : null;
}
