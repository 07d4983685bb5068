import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IndexResult } from '../../../src/jobs/index.ts';
import { type BundledProgram, bundledProgram, SOURCE_PROGRAM } from '../../support/bundled-program.ts';
import { baseLayer, changeLayer, writeLayout } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
const stack = new AsyncDisposableStack();
let directory: string;
let layout: string;
let program: BundledProgram;

beforeAll(async () => {
  directory = stack.use(await temporaryDirectory('bundle')).path;
  program = stack.use(await bundledProgram());
  layout = (await writeLayout(join(directory, 'layout'), [baseLayer(), changeLayer()], 'gzip')).dir;
});
afterAll(() => stack.disposeAsync());

const env = (state: string) => ({ ...process.env, CLIPYARD_STATE: join(directory, state), CLIPYARD_LOG: 'info' });

async function index(path: string, engine: 'native' | 'portable', state: string) {
  const output = join(directory, 'out.clip');
  const from = ['--from', `oci:${layout}`, '--storage-ref', '127.0.0.1:5000/images:bundle'];
  const args = [path, '--json', 'index', ...from, '--engine', engine, '--platform', 'linux/amd64', '--output', output];
  const { stderr, stdout } = await run(process.execPath, args, { env: env(state) });
  const { durationMs: _, ...document } = JSON.parse(stdout) as IndexResult;
  return { document, stderr, bytes: await readFile(output) };
}

test.for(['native', 'portable'] as const)('index --engine %s gives what the sources give', async (engine) => {
  const ours = await index(program.path, engine, `bundle-${engine}`);
  const theirs = await index(SOURCE_PROGRAM, engine, `sources-${engine}`);
  expect(ours.document).toEqual(theirs.document);
  expect(ours.bytes.equals(theirs.bytes)).toBe(true);
  expect(ours.stderr).toContain('"msg":"indexing from local OCI layout with remote storage reference"');
});

test('bundle and sources share one cache, and say the same of what is cached', async () => {
  await index(program.path, 'native', 'shared');
  const [ours, theirs] = [
    await index(program.path, 'native', 'shared'),
    await index(SOURCE_PROGRAM, 'native', 'shared'),
  ];
  expect(ours.document).toEqual(theirs.document);
  expect(ours.bytes.equals(theirs.bytes)).toBe(true);
  expect(ours.document.layers.every(({ cached }) => cached)).toBe(true);
});

test('libraries that are not in the bundle are found: gRPC, registry, store', async () => {
  const checks = async (path: string) => {
    const { stdout } = await run(process.execPath, [path, '--json', 'doctor'], { env: env('doctor') }).catch(
      (thrown: unknown) => thrown as { readonly stdout: string }, // it fails where anything is missing
    );
    const document = JSON.parse(stdout) as {
      readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
    };
    return document.checks.map(({ name, ok }) => `${name}: ${ok ? 'ok' : 'missing'}`);
  };
  const ours = await checks(program.path);
  expect(ours).toEqual(await checks(SOURCE_PROGRAM));
  expect(ours).toEqual(expect.arrayContaining(['buildkitd: ok', 'registry: ok', 'store: ok']));
});
