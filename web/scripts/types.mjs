// Types of the API from the document the coordinator's tests hold. `--write` writes src/lib/schema.d.ts; without it the
// file must be what this would write.
import fs from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const snapshot = new URL('../../coordinator/tests/http/snapshots/http__document__openapi.snap', import.meta.url);
const file = new URL('../src/lib/schema.d.ts', import.meta.url);

const text = fs.readFileSync(snapshot, 'utf8').split(/^---\n/m).slice(2).join('---\n');
const document = JSON.parse(text);
// Named by handler there, so not unique; types are found by path.
for (const path of Object.values(document.paths)) for (const operation of Object.values(path)) delete operation.operationId;
const types = `// Written by scripts/types.mjs from the document of the API; run \`npm run types\` when that changes.
${astToString(await openapiTS(document))}`;

if (process.argv.includes('--write')) fs.writeFileSync(file, types);
else if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== types) {
  console.error('The document of the API has changed since src/lib/schema.d.ts was written: run `npm run types`.');
  process.exit(1);
}
