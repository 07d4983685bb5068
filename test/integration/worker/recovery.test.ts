import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { imageTag, parseImageId, parseWorkspaceId } from '../../../src/archive/index.ts';
import { type BuildResult, reapBuilds } from '../../../src/jobs/index.ts';
import { openStore, readObject } from '../../../src/objects/index.ts';
import { createRegistryClient, NO_CREDENTIALS } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { smallContext } from '../../support/small-context.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { clientQueue, startWorker, submitTestJob, waitForEnd } from '../../support/worker-process.ts';

const signal = AbortSignal.timeout(600_000);
const workspaceId = 'recovery';

interface PublishedPointer {
  readonly generation: number;
  readonly indexDigest: string;
  readonly jobs: readonly { readonly jobId: string; readonly generation: number }[];
}

async function pointerOf(imageId: string): Promise<PublishedPointer> {
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  const { bytes } = await readObject(store, `images/${workspaceId}/${imageId}.json`, { signal, maxBytes: 1 << 20 });
  return JSON.parse(Buffer.from(bytes).toString()) as PublishedPointer;
}

async function tagOf(imageId: string, repository: string): Promise<string | undefined> {
  const client = createRegistryClient({ credentials: NO_CREDENTIALS, plainHttp: false, log: silentLog() });
  const target = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository };
  const tag = imageTag(parseWorkspaceId(workspaceId), parseImageId(imageId));
  return (await client.headManifest(target, tag, { signal }))?.digest;
}

const PLACES = [
  'after begun',
  'after landed',
  'after packed',
  'before staged',
  'after staged',
  'before pointed',
  'after pointed',
  'before tag',
  'before tagged',
  'after tagged',
  'before end',
] as const;

test.for(PLACES)('a worker killed at %s: another finishes the job, published once', async (place) => {
  await using scratch = await temporaryDirectory('recovery');
  const imageId = `at_${place.replace(' ', '_')}_${process.pid}`;
  const repository = `recovery/${imageId}`;
  const queueAddress = `sqlite:${join(scratch.path, 'queue.db')}`;
  const context = await smallContext(join(scratch.path, 'context'));
  await using queue = await clientQueue(queueAddress);
  const common = { queue: queueAddress, stateDir: join(scratch.path, 'state') };
  await using first = await startWorker({ ...common, workerId: 'first', fault: { at: place, signal: 'SIGKILL' } });
  // Without BuildKit's cache the layers differ each time: what is not resumed shows.
  const spec = { contextDir: context, repository, noCache: true };
  const submitted = await submitTestJob(queue, { workspaceId, imageId, spec });
  expect(await first.ended).toBeUndefined();
  expect(first.lines).toContain(`fault: ${place}`);

  await using second = await startWorker({ ...common, workerId: 'second' });
  const { events, record } = await waitForEnd(queue, submitted);
  expect(record).toMatchObject({ state: 'done', attempt: 2, workerId: 'second' });
  const result = record.result as unknown as BuildResult;
  const pointer = await pointerOf(imageId);
  expect(pointer).toMatchObject({ generation: 1, indexDigest: result.manifestDigest });
  expect(pointer.jobs).toEqual([{ jobId: record.jobId, generation: 1, indexDigest: result.manifestDigest }]);
  expect(result.generation).toBe(1);
  expect(await tagOf(imageId, repository)).toBe(result.manifestDigest);
  expect(events.map(({ cursor }) => cursor)).toEqual(events.map((_, at) => at + 1));
  expect(events.filter(({ what }) => (what as { state?: string }).state === 'done').length).toBe(1);
  // Steps ran once, and layers were staged once, when the first worker got that far.
  const ranSteps = events.filter(({ attempt, kind }) => attempt === 2 && kind === 'step').length;
  expect(ranSteps > 0).toBe(place === 'after begun');

  second.child.kill('SIGTERM');
  expect(await second.ended).toBe(0);
  const left = await readdir(join(common.stateDir, 'tmp'));
  expect(left.filter((name) => name.startsWith('build-') || name.startsWith('worker-'))).toEqual([]);
});

/** Whether the registry has an upload that is not finished. */
async function isOpen(uploadUrl: string): Promise<boolean> {
  const response = await fetch(uploadUrl);
  await response.body?.cancel();
  return response.status === 204;
}

test('uploads of a killed worker are dropped by who takes up its build on another machine', async () => {
  await using scratch = await temporaryDirectory('recovery');
  const imageId = `uploading_${process.pid}`;
  const queueAddress = `sqlite:${join(scratch.path, 'queue.db')}`;
  await using queue = await clientQueue(queueAddress);
  const stateOf = (name: string) => ({ queue: queueAddress, stateDir: join(scratch.path, name), workerId: name });
  await using first = await startWorker({ ...stateOf('first'), fault: { at: 'after uploading', signal: 'SIGKILL' } });
  const spec = { contextDir: await smallContext(join(scratch.path, 'context')), repository: `recovery/${imageId}` };
  const submitted = await submitTestJob(queue, { workspaceId, imageId, spec });
  expect(await first.ended).toBeUndefined();
  const notes = join(scratch.path, `first/tmp/build-${workspaceId}-${imageId}/uploads.jsonl`);
  const [line = ''] = (await readFile(notes, 'utf8')).split('\n');
  const { url } = JSON.parse(line) as { readonly url: string };
  expect(await isOpen(url)).toBe(true);

  await using _second = await startWorker(stateOf('second'));
  expect((await waitForEnd(queue, submitted)).record).toMatchObject({ state: 'done', workerId: 'second' });
  expect(await isOpen(url)).toBe(false);
});

test('uploads of killed builds that nobody takes up are dropped where they ran, once the registry answers', async () => {
  await using scratch = await temporaryDirectory('recovery');
  const target = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository: `recovery/left_${process.pid}` };
  const begun = await fetch(`http://${target.registry}/v2/${target.repository}/blobs/uploads/`, { method: 'POST' });
  const url = new URL(begun.headers.get('location') ?? '', begun.url).href;
  expect(await isOpen(url)).toBe(true);
  const left = join(scratch.path, 'tmp/build-recovery-left');
  await mkdir(left, { recursive: true });
  const half = '{"registry":"127';
  await writeFile(join(left, 'uploads.jsonl'), `${JSON.stringify({ ...target, url })}\n${half}`);
  await using client = createRegistryClient();
  const away = { dropUpload: () => Promise.resolve(false) };
  expect(await reapBuilds(scratch.path, { client: away, signal })).toBe(0);
  expect(await readdir(join(scratch.path, 'tmp'))).toEqual(['build-recovery-left']);
  expect(await reapBuilds(scratch.path, { client, signal })).toBe(1);
  expect(await readdir(join(scratch.path, 'tmp'))).toEqual([]);
  expect(await isOpen(url)).toBe(false);
});

test('a worker that slept between pointer and tag does no harm when it wakes', async () => {
  await using scratch = await temporaryDirectory('recovery');
  const imageId = `slept_${process.pid}`;
  const repository = `recovery/${imageId}`;
  const queueAddress = `sqlite:${join(scratch.path, 'queue.db')}`;
  await using queue = await clientQueue(queueAddress);
  const stateOf = (name: string) => ({ queue: queueAddress, stateDir: join(scratch.path, name), workerId: name });
  await using first = await startWorker({ ...stateOf('first'), fault: { at: 'before tag', signal: 'SIGSTOP' } });
  const oldContext = await smallContext(join(scratch.path, 'old'), 'old');
  const submitted = await submitTestJob(queue, { workspaceId, imageId, spec: { contextDir: oldContext, repository } });
  await first.sawLine(/^fault: before tag$/);

  // Another takes the job over, and then publishes a newer build of the same image.
  await using _second = await startWorker(stateOf('second'));
  const { record } = await waitForEnd(queue, submitted);
  expect(record).toMatchObject({ state: 'done', workerId: 'second' });
  const newContext = await smallContext(join(scratch.path, 'new'), 'new');
  const newer = await submitTestJob(queue, { workspaceId, imageId, spec: { contextDir: newContext, repository } });
  const { record: newest } = await waitForEnd(queue, newer);
  const result = newest.result as unknown as BuildResult;
  expect(result.generation).toBe(2);

  first.child.kill('SIGCONT');
  await first.sawLine(/"end":"lost"/);
  expect(await tagOf(imageId, repository)).toBe(result.manifestDigest);
  expect(await pointerOf(imageId)).toMatchObject({ generation: 2, indexDigest: result.manifestDigest });
  const again = await queue.get(workspaceId, record.buildId, { signal });
  expect(again).toMatchObject({ state: 'done', result: { generation: 1 } });
});
