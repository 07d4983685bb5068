// Writes the pages that come from code: docs/errors.md and docs/configuration.md. A unit test holds them current.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationPage, errorsPage } from './docs/pages.ts';

const docs = join(import.meta.dirname, '..', 'docs');
writeFileSync(join(docs, 'errors.md'), errorsPage());
writeFileSync(join(docs, 'configuration.md'), configurationPage());
