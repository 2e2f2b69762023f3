// Takes away the pictures of the run before, so that none of a screen that is gone stays among the new ones.
import { rm } from 'node:fs/promises';
import path from 'node:path';

await rm(path.resolve(import.meta.dirname, '../../test-results/pages'), { recursive: true, force: true });
