// Writes the pages that come from code: docs/errors.md, docs/configuration.md, docs/release-rows.md, a table of docs/matrix.md. A
// unit test holds them current.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withMatrixTable } from './docs/matrix-table.ts';
import { configurationPage, errorsPage } from './docs/pages.ts';
import { releaseRowsPage } from './docs/release-rows.ts';

const docs = join(import.meta.dirname, '..', 'docs');
writeFileSync(join(docs, 'errors.md'), errorsPage());
writeFileSync(join(docs, 'configuration.md'), configurationPage());
writeFileSync(join(docs, 'release-rows.md'), releaseRowsPage());

const matrix = join(docs, 'matrix.md');
writeFileSync(matrix, withMatrixTable(readFileSync(matrix, 'utf8')));
