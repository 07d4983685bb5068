import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { worker } from '../support/queue/submissions.ts';
import { grant, startService } from '../support/service/test-server.ts';

const run = promisify(execFile);
const PROGRAM = join(import.meta.dirname, '..', '..', '.clipyard/bin/grpcurl');
const { signal } = new AbortController();

/** grpcurl without `-protoset`: all it knows of the API it asks of the server. */
async function grpcurl(...args: readonly string[]): Promise<string> {
  return (await run(PROGRAM, ['-plaintext', ...args])).stdout;
}

test('grpcurl lists and describes the API by reflection, maps and timestamps too', async () => {
  await using server = await startService();
  expect((await grpcurl(server.address, 'list')).trim().split('\n')).toEqual([
    'clipyard.v1.ArchiveService',
    'clipyard.v1.BuildService',
    'clipyard.v1.WorkerService',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ]);
  const spec = await grpcurl(server.address, 'describe', 'clipyard.v1.BuildSpec');
  expect(spec).toContain('map<string, string> build_args = 9;');
  expect(await grpcurl(server.address, 'describe', 'clipyard.v1.Build')).toContain('.google.protobuf.Timestamp');
  expect(await grpcurl(server.address, 'describe', 'clipyard.v1.BuildService.Watch')).toContain('stream');
});

test('grpcurl submits a build with maps and watches it', async () => {
  await using server = await startService();
  const request = {
    spec: { imageId: 'web', dockerfileInline: 'FROM scratch', buildArgs: { A: 'b' }, labels: { 'x.y': 'z' } },
    idempotencyKey: 'k',
  };
  const submitted = await grpcurl('-d', JSON.stringify(request), server.address, 'clipyard.v1.BuildService/Submit');
  const { build, how } = JSON.parse(submitted) as { how: string; build: { buildId: string; state: string } };
  expect([how, build.state]).toEqual(['SUBMITTED_QUEUED', 'STATE_QUEUED']);
  await using lease = await server.queue.take(worker('w1'), { signal });
  expect(lease?.job.spec).toMatchObject({ buildArgs: { A: 'b' }, labels: { 'x.y': 'z' } });
  await lease?.end({ state: 'done', result: { imageTag: 't' } });
  const watch = await grpcurl(
    '-d',
    JSON.stringify({ buildId: build.buildId }),
    server.address,
    'clipyard.v1.BuildService/Watch',
  );
  expect(watch).toContain('"state": "STATE_DONE"');
});

test('grpcurl shows the code of a refusal, and reflection needs a token where others do', async () => {
  await using server = await startService({ tokens: [grant('of-a', 'a')] });
  await expect(grpcurl(server.address, 'list')).rejects.toMatchObject({
    stderr: expect.stringContaining('no token') as string,
  });
  const header = ['-H', 'authorization: Bearer of-a'];
  const failure = grpcurl(...header, '-d', '{"buildId": "none"}', server.address, 'clipyard.v1.BuildService/Get');
  await expect(failure).rejects.toMatchObject({
    stderr: expect.stringContaining('"reason": "BUILD_NOT_FOUND"') as string,
  });
});
