// Writes the types of the API into generated/, from the document the coordinator's tests hold: what the console asks for
// and that document cannot drift apart, since the checks write the types first.
import fs from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const snapshot = new URL('../../coordinator/tests/http/snapshots/http__document__openapi.snap', import.meta.url);
const folder = new URL('../generated/', import.meta.url);

const text = fs.readFileSync(snapshot, 'utf8').split(/^---\n/m).slice(2).join('---\n');
const document = JSON.parse(text);
// Named by handler there, so not unique; types are found by path.
for (const path of Object.values(document.paths)) for (const operation of Object.values(path)) delete operation.operationId;
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(new URL('schema.d.ts', folder), astToString(await openapiTS(document)));
