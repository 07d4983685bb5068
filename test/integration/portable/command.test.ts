import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ArchiveDescription } from '../../../src/archive/index.ts';
import type { IndexResult } from '../../../src/jobs/index.ts';
import { commandError, commandJson } from '../../support/command-line.ts';
import { baseLayer, changeLayer, sparsePaxLayer, writeLayout } from '../../support/corpus/index.ts';
import { verifyArchive } from '../../support/native/index.ts';
import { resigned } from '../../support/resigned.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const stack = new AsyncDisposableStack();
let dir = '';
const archives = { native: '', portable: '' };
const results = new Map<string, IndexResult>();

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('portable-command')).path;
  const layout = await writeLayout(join(dir, 'layout'), [baseLayer(), changeLayer(), sparsePaxLayer()], 'zstd');
  for (const engine of ['native', 'portable'] as const) {
    archives[engine] = join(dir, `${engine}.clip`);
    const from = ['--from', `oci:${layout.dir}`, '--storage-ref', '127.0.0.1:5000/images:portable'];
    const args = [
      'index',
      ...from,
      '--engine',
      engine,
      '--no-cache',
      '--platform',
      'linux/amd64',
      '--output',
      archives[engine],
    ];
    results.set(engine, await commandJson<IndexResult>(args, { CLIPYARD_STATE: join(dir, 'state') }));
  }
});
afterAll(() => stack.disposeAsync());

test('index --engine portable says the same of an image as the native engine', () => {
  const said = (engine: string) => {
    const { archive, engine: _, durationMs: __, mountBytes: ___, ...rest } = results.get(engine)!;
    return { ...rest, entries: archive.entries };
  };
  expect(said('portable')).toEqual(said('native'));
  expect(results.get('portable')?.engine).toBe('portable');
});

test('inspect, ls and verify read its archive; it has the sections config and layers', async () => {
  const { counts, sections } = await commandJson<ArchiveDescription>(['inspect', archives.portable]);
  expect(sections.map(({ name }) => name)).toEqual(['config', 'layers']);
  expect(counts).toEqual((await commandJson<ArchiveDescription>(['inspect', archives.native])).counts);
  expect(await commandJson(['ls', archives.portable, '/usr/bin'])).toEqual(
    await commandJson(['ls', archives.native, '/usr/bin']),
  );
  expect(await commandJson(['verify', archives.portable])).toMatchObject({
    ok: true,
    kind: 'clipyard',
    entries: counts.entries,
  });
});

test('both verifiers refuse a list of files that was changed and signed again', async () => {
  const forged = join(dir, 'forged.clip');
  await writeFile(forged, resigned(await readFile(archives.portable), '/usr/bin/su', '/aaa/bin/su'));
  const offline = await commandError(['verify', forged]);
  expect(offline).toMatchObject({
    code: 'ARCHIVE_CORRUPT',
    message: expect.stringContaining('out of order') as string,
  });
  await expect(verifyArchive(forged)).rejects.toThrow(
    expect.objectContaining({ code: 'ARCHIVE_CORRUPT', message: expect.stringContaining('out of order') as string }),
  );
});

test('a V1 archive is not for this engine', async () => {
  const from = ['--from', `oci:${join(dir, 'layout')}`, '--storage-ref', '127.0.0.1:5000/images:portable'];
  const args = ['index', ...from, '--engine', 'portable', '--archive-format', 'v1', '--output', join(dir, 'v1.clip')];
  expect((await commandError(args)).code).toBe('USAGE');
});
