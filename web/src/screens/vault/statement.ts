// What an agent signed about an artifact: an in-toto statement (version 1) with SLSA provenance in a DSSE envelope. Read
// as data from outside: whatever is missing is missing, and a signature is only checked, never assumed.
import { canHash, type Checked } from '$lib/merkle';

export interface Resource { name: string; sha256: string }
export interface Statement {
  mission: string;
  plan: string;
  task: string;
  taskId: string;
  item: number | null;
  fence: string;
  capability: string;
  version: string;
  rank: string;
  profile: string;
  level: string;
  parameters: string;
  inputs: Resource[];
  artifacts: Resource[];
  log: string;
  approvals: { subject: string; person: string }[];
  started: string;
  finished: string;
}
interface Envelope { payloadType?: unknown; payload?: unknown; signatures?: unknown }

function bytesOf(text: unknown): Uint8Array<ArrayBuffer> | null {
  if (typeof text !== 'string') return null;
  try {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
}

const part = (value: unknown, ...path: string[]): unknown => path.reduce<unknown>((found, name) => (typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[name] : undefined), value);
const text = (value: unknown, ...path: string[]): string => {
  const found = part(value, ...path);
  return typeof found === 'string' ? found : '';
};
const list = (value: unknown, ...path: string[]): unknown[] => {
  const found = part(value, ...path);
  return Array.isArray(found) ? found : [];
};
const resources = (found: unknown[]): Resource[] => found.map((each) => ({ name: text(each, 'name'), sha256: text(each, 'digest', 'sha256') }));

/** The statement in an envelope; nothing where there is none that is of this kind. */
export function statementOf(envelope: Envelope): Statement | null {
  const payload = bytesOf(envelope.payload);
  if (!payload) return null;
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return null;
  }
  if (text(said, '_type') !== 'https://in-toto.io/Statement/v1' || text(said, 'predicateType') !== 'https://slsa.dev/provenance/v1') return null;
  const external = part(said, 'predicate', 'buildDefinition', 'externalParameters');
  const internal = part(said, 'predicate', 'buildDefinition', 'internalParameters');
  const run = part(said, 'predicate', 'runDetails');
  const item = part(external, 'itemIndex');
  return {
    mission: text(external, 'mission'),
    plan: text(external, 'planDigest'),
    task: text(external, 'task'),
    taskId: text(internal, 'taskId'),
    item: typeof item === 'number' ? item : null,
    fence: text(internal, 'fence'),
    capability: text(external, 'capability'),
    version: text(internal, 'pluginVersion'),
    rank: text(internal, 'rank'),
    profile: text(internal, 'sandbox', 'profile'),
    level: text(internal, 'sandbox', 'level'),
    parameters: text(external, 'parametersDigest'),
    inputs: resources(list(said, 'predicate', 'buildDefinition', 'resolvedDependencies')),
    artifacts: resources(list(said, 'subject')),
    log: resources(list(run, 'byproducts')).find((each) => each.name === 'log')?.sha256 ?? '',
    approvals: list(internal, 'approvals').map((each) => ({ subject: text(each, 'subject'), person: text(each, 'person') })),
    started: text(run, 'metadata', 'startedOn'),
    finished: text(run, 'metadata', 'finishedOn'),
  };
}

/** Whether the envelope is signed by this Ed25519 key (base64url). `unknown` where the browser cannot check it. */
export async function signed(envelope: Envelope, key: string): Promise<Checked> {
  const [payload, raw] = [bytesOf(envelope.payload), bytesOf(key)];
  if (!payload || raw?.length !== 32 || typeof envelope.payloadType !== 'string' || !Array.isArray(envelope.signatures)) return 'fails';
  if (!canHash()) return 'unknown';
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey('raw', raw, { name: 'Ed25519' }, false, ['verify']);
  } catch {
    return 'unknown';
  }
  // DSSE's pre-authentication encoding.
  const head = new TextEncoder().encode(`DSSEv1 ${envelope.payloadType.length} ${envelope.payloadType} ${payload.length} `);
  const message = new Uint8Array([...head, ...payload]);
  for (const each of envelope.signatures) {
    const signature = bytesOf(part(each, 'sig'));
    if (signature?.length === 64 && (await crypto.subtle.verify({ name: 'Ed25519' }, imported, signature, message))) return 'holds';
  }
  return 'fails';
}

/** To be pasted where the command line is: nothing in it is more than a word to a shell. */
export function commands(id: string, version: number, name: string, key: string): string {
  const plain = name.split('/').at(-1) ?? '';
  const file = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}$/.test(plain) ? plain : 'artifact';
  return [
    `nexusmon artifact get ${id} --version ${version} -o ${file}`,
    `nexusmon artifact provenance ${id} --version ${version} > ${file}.provenance.json`,
    `nexusmon artifact verify ${file} --provenance ${file}.provenance.json --key=${/^[A-Za-z0-9_-]{43}$/.test(key) ? key : 'KEY'}`,
  ].join('\n');
}
