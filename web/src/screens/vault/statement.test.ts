import { expect, test } from 'vitest';
import { commands, signed, statementOf } from './statement';

const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const TYPE = 'application/vnd.in-toto+json';
const SAID = {
  _type: 'https://in-toto.io/Statement/v1',
  predicateType: 'https://slsa.dev/provenance/v1',
  subject: [{ name: 'report.csv', digest: { sha256: 'aa' } }],
  predicate: {
    buildDefinition: { externalParameters: { mission: 'mis_1', task: 'publish', itemIndex: 3 }, internalParameters: { fence: '1.2', sandbox: { profile: 'network', level: 'l2' }, approvals: [{ subject: 'mission_plan', person: 'prn_1' }] } },
    runDetails: { byproducts: [{ name: 'log', digest: { sha256: 'bb' } }] },
  },
};
const envelope = (said: unknown) => ({ payloadType: TYPE, payload: base64(new TextEncoder().encode(JSON.stringify(said))) });

test('a statement is read as far as it goes', () => {
  expect(statementOf(envelope(SAID))).toMatchObject({ mission: 'mis_1', task: 'publish', item: 3, fence: '1.2', level: 'l2', log: 'bb', rank: '', artifacts: [{ name: 'report.csv', sha256: 'aa' }], approvals: [{ person: 'prn_1' }] });
  expect(statementOf(envelope({ ...SAID, predicateType: 'other' }))).toBeNull();
  expect(statementOf({ payload: '%%%' })).toBeNull();
  expect(statementOf({ payload: base64(new TextEncoder().encode('{')) })).toBeNull();
});

test('an envelope is signed by its key, as DSSE has it, and by no other', async () => {
  const pair = (await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])) as CryptoKeyPair;
  const key = base64(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))).replaceAll('+', '-').replaceAll('/', '_').replace('=', '');
  const said = envelope(SAID);
  const payload = JSON.stringify(SAID);
  const message = new TextEncoder().encode(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} ${payload}`);
  const sig = base64(new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, pair.privateKey, message)));
  expect(await signed({ ...said, signatures: [{ sig }] }, key)).toBe('holds');
  expect(await signed({ ...envelope({ ...SAID, subject: [] }), signatures: [{ sig }] }, key)).toBe('fails');
  expect(await signed({ ...said, signatures: [] }, key)).toBe('fails');
  expect(await signed({ ...said, signatures: [{ sig }] }, 'short')).toBe('fails');
});

test('a name cannot become more than a file name', () => {
  expect(commands('art_1', 2, 'report.csv', 'k'.repeat(43))).toContain(`verify report.csv --provenance report.csv.provenance.json --key=${'k'.repeat(43)}`);
  expect(commands('art_1', 2, '$(rm -rf ~)', 'x; y')).toBe('nexusmon artifact get art_1 --version 2 -o artifact\nnexusmon artifact provenance art_1 --version 2 > artifact.provenance.json\nnexusmon artifact verify artifact --provenance artifact.provenance.json --key=KEY');
  expect(commands('art_1', 2, '-rf', 'KEY')).toContain('-o artifact\n');
});
