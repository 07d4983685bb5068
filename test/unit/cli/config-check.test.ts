import { globSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runInProcess } from '../../support/in-process.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** In a shell script and in TypeScript. */
const VARIABLE_READ = /(?:\$\{?|env(?:\.|\['))(CLIPYARD_[A-Z_]*[A-Z])/g;

interface Row {
  readonly name: string;
  readonly value?: string;
  readonly from: string;
  readonly problem?: string;
}

async function check(env: Readonly<Record<string, string>>, ...flags: readonly string[]) {
  const { exitCode, stderr, stdout } = await runInProcess(['--json', 'config', 'check', ...flags], env);
  const { checked, ok } = JSON.parse(stdout) as { ok: boolean; checked: readonly Row[] };
  return { exitCode, ok, rows: new Map(checked.map((row) => [row.name, row])), stderr };
}

test('defaults are in order, and said to be defaults; what is set is said to be', async () => {
  const { exitCode, ok, rows } = await check({ CLIPYARD_STORE: 's3://archives/prod' });
  expect([exitCode, ok]).toEqual([0, true]);
  expect(rows.get('CLIPYARD_WORKSPACE')).toEqual({ name: 'CLIPYARD_WORKSPACE', value: 'default', from: 'default' });
  expect(rows.get('CLIPYARD_STORE')).toMatchObject({ value: 's3://archives/prod', from: 'environment' });
});

test.for([
  ['CLIPYARD_BUILDKIT', 'buildkit'],
  ['CLIPYARD_REGISTRY', 'http://registry.example/images'],
  ['CLIPYARD_STORE', 'ftp://store'],
  ['CLIPYARD_PACK_CACHE', 's3:'],
  ['CLIPYARD_PACK_CACHE_SIZE', 'much'],
  ['CLIPYARD_QUEUE', 'mysql://queue'],
  ['CLIPYARD_SERVER', 'ftp://worker'],
  ['CLIPYARD_CA_FILE', '/nonexistent/authorities.pem'],
  ['CLIPYARD_REGISTYR', '127.0.0.1:5000'],
] as const)('%s=%s is a problem of that variable, and exit code 64', async ([name, value]) => {
  const { exitCode, ok, rows, stderr } = await check({ [name]: value });
  expect([exitCode, ok]).toEqual([64, false]);
  expect([...rows.values()].filter(({ problem }) => problem !== undefined).map((row) => row.name)).toContain(name);
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'CONFIG_INVALID' } });
});

test('the variables of the scripts and tests of this project are known', async () => {
  const read = [...globSync('scripts/**/*.{sh,ts}'), ...globSync('test/**/*.test.ts')]
    .filter((path) => !path.endsWith('config-check.test.ts'))
    .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(VARIABLE_READ)].map(([, name]) => name!));
  expect(read).toContain('CLIPYARD_SOAK_SEED');
  const { rows } = await check(Object.fromEntries(read.map((name) => [name, '1'])));
  const unknown = [...rows.values()].filter(({ problem }) => problem === 'there is no such setting');
  expect(unknown).toEqual([]);
});

test('no token and no password is shown', async () => {
  const { rows } = await check({ CLIPYARD_TOKEN: 'hush', CLIPYARD_QUEUE: 'redis://user:hush@127.0.0.1:6379' });
  expect(JSON.stringify([...rows.values()])).not.toContain('hush');
  expect(rows.get('CLIPYARD_QUEUE')?.value).toBe('redis://[redacted]@127.0.0.1:6379');
});

test('files of other commands are checked by name', async () => {
  await using directory = await temporaryDirectory();
  const [worker, matrix, services] = ['worker.json', 'matrix.yaml', 'clipyard.yaml'].map((name) =>
    join(directory.path, name),
  ) as [string, string, string];
  await writeFile(worker, '{"concurrency": 3}');
  await writeFile(matrix, 'registry: r.example/o\nimage: orb\nvariants: ["3.9"]\ndefault: "3.10"\n');
  await writeFile(services, 'services: [{ name: web }]');
  const files = ['--worker', worker, '--matrix', matrix, '--services', services];
  const { exitCode, rows } = await check({}, ...files);
  expect(exitCode).toBe(64);
  expect([worker, matrix, services].map((path) => rows.get(path)?.problem !== undefined)).toEqual([false, true, false]);
});
