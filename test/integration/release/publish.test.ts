import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { imagesOf, MEDIA_TYPES, parseIndex, parseManifest } from '../../../src/oci/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { runInProcess } from '../../support/in-process.ts';
import { startOlareg } from '../../support/registry.ts';
import { MemoryRepository } from '../../support/release/memory-repository.ts';
import { pushRepository } from '../../support/release/push-repository.ts';
import { temporaryStateDirectory } from '../../support/temporary-directory.ts';

const root = join(import.meta.dirname, '../../..');
const { signal } = new AbortController();

interface Step {
  readonly name?: string;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The steps that run something, without the login. */
async function stepsOf(workflow: string): Promise<readonly Step[]> {
  const text = await readFile(join(root, 'docs/workflows', workflow), 'utf8');
  const { jobs } = parse(text) as { jobs: { publish: { steps: readonly Step[] } } };
  return jobs.publish.steps.filter(({ name, run }) => run !== undefined && name !== 'Log in');
}

/** A step's command as the shell makes words of it; the program itself is run in this process. */
async function wordsOf(run: string, env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const script = `clipyard() { printf '%s\\0' clipyard "$@"; }\n${run}`;
  const options = { env: { ...process.env, ...env } };
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], options);
  return stdout.split('\0').slice(0, -1);
}

/** `name=value`, or `name<<END` and lines, as GITHUB_OUTPUT has them. */
function outputOf(file: string, name: string): string {
  const [, end, rest = ''] = new RegExp(`^${name}(?:<<(\\S+)\\n|=)([^]*)`, 'm').exec(file) ?? [];
  return rest.split(end === undefined ? '\n' : `\n${end}`)[0] ?? '';
}

test('R002-11: a version tag is built, pushed under its three tags, old releases go, and all of it is there to pull', async () => {
  await using registry = await startOlareg();
  await using proxy = await FaultProxy.start(registry.address);
  await using scratch = await temporaryStateDirectory('publish');
  await using client = createRegistryClient();
  const repository = { registry: proxy.address, repository: 'owner/spinal-tap' };
  const older = new MemoryRepository();
  for (const [at, version] of ['0.0.1', '0.0.2', '0.0.3', '0.0.4', '0.0.5', '0.0.6'].entries())
    older.tags.set(version, older.image({ name: version, created: new Date(Date.UTC(2026, 0, at + 1)).toISOString() }));
  const before = older.tags.get('0.0.6');
  if (before !== undefined) for (const tag of ['0.0', 'latest']) older.tags.set(tag, before);
  await pushRepository(older, repository);
  proxy.takeRequests();

  const context = join(scratch.path, 'context');
  await mkdir(context);
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY tap /tap\n');
  await writeFile(join(context, 'tap'), scratch.path);
  const outputs = join(scratch.path, 'outputs');
  await writeFile(outputs, '');
  const github = { GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/tags/v0.1.1', GITHUB_SHA: 'a'.repeat(40) };
  const place = {
    IMAGE: `${proxy.address}/${repository.repository}`,
    CLIPYARD_STATE: join(scratch.path, 's'),
    CLIPYARD_STORE: `file://${scratch.path}/store`,
    CLIPYARD_LOG: 'warn',
  };
  for (const { env = {}, run = '' } of await stepsOf('publish.yml')) {
    const given = await readFile(outputs, 'utf8');
    const filled = Object.entries(env).map(([name, value]) => {
      const [, output] = /steps\.tags\.outputs\.(\w+)/.exec(value) ?? [];
      return [name, output === undefined ? '' : outputOf(given, output)] as const;
    });
    const stepEnv = { ...github, ...place, GITHUB_OUTPUT: outputs, ...Object.fromEntries(filled) };
    const [command, ...args] = await wordsOf(run, stepEnv);
    expect(command).toBe('clipyard');
    const inContext = args.map((word) => (word === '.' ? context : word));
    const { exitCode, stderr } = await runInProcess(inContext, { ...process.env, ...stepEnv });
    expect(exitCode, `${args.join(' ')}: ${stderr}`).toBe(0);
  }

  const writes = proxy.takeRequests().filter(({ method }) => method === 'PUT' || method === 'DELETE');
  const named = writes.filter(({ path }) => /\/manifests\/(?!sha256)/.test(path));
  // The build's own name, the tags with latest last, and only then what is deleted.
  expect(named.filter(({ method }) => method === 'PUT').map(({ path }) => path.split('/').at(-1))).toEqual([
    'ci-app',
    '0.1.1',
    '0.1',
    'latest',
  ]);
  const firstDeletion = writes.findIndex(({ method }) => method === 'DELETE');
  expect(firstDeletion).toBeGreaterThan(writes.findLastIndex(({ path }) => path.endsWith('/latest')));

  const tags = await client.listTags(repository, { signal });
  expect(tags.toSorted()).toEqual(['0.0', '0.0.3', '0.0.4', '0.0.5', '0.0.6', '0.1', '0.1.1', 'ci-app', 'latest']);
  const image = await client.getManifest(repository, '0.1.1', { signal });
  for (const tag of ['0.1', 'latest'])
    expect((await client.getManifest(repository, tag, { signal })).digest).toBe(image.digest);
  expect((await client.headManifest(repository, '0.0', { signal }))?.digest).toBe(before);
  const manifests =
    image.mediaType === MEDIA_TYPES.ociIndex
      ? await Promise.all(
          imagesOf(parseIndex(image.bytes)).map(({ digest }) => client.getManifest(repository, digest, { signal })),
        )
      : [image];
  for (const { bytes } of manifests) {
    const { config, layers } = parseManifest(bytes);
    for (const { digest, size } of [config, ...layers]) {
      let read = 0;
      for await (const part of await client.getBlobStream(repository, digest, { signal }))
        read += (part as Buffer).length;
      expect(read).toBe(size);
    }
  }
});
