import { createHash } from 'node:crypto';
import { WorkerError } from '../../../src/errors/index.ts';
import type { BuildQueue, BuildRecord, Json } from '../../../src/queue/index.ts';
import type { Archives, Builds, BuildView, WorkerControl } from '../../../src/worker/index.ts';
import { worker } from '../queue/submissions.ts';

/** Builds over a real queue without what a worker does before and after: nothing is resolved, pinned or kept. */
export function queueBuilds(queue: BuildQueue): Builds {
  const view = async (record: BuildRecord, signal: AbortSignal): Promise<BuildView> => ({
    ...record,
    position: await queue.position(record.workspaceId, record.buildId, { signal }),
  });
  const found = async (record: BuildRecord | undefined, buildId: string, signal: AbortSignal) => {
    if (record === undefined) throw new WorkerError('BUILD_NOT_FOUND', `there is no build ${buildId}`, { buildId });
    return await view(record, signal);
  };
  return {
    async upload(_workspaceId, bytes) {
      const hash = createHash('sha256');
      let sizeBytes = 0;
      for await (const chunk of bytes) {
        hash.update(chunk);
        sizeBytes += chunk.length;
      }
      return { digest: `sha256:${hash.digest('hex')}`, sizeBytes };
    },
    async submit(workspaceId, { idempotencyKey, priority = 5, spec, timeoutMs }, { signal }) {
      const { record, how } = await queue.submit(
        {
          workspaceId,
          imageId: spec.imageId,
          spec: spec as unknown as Json,
          key: createHash('sha256').update(JSON.stringify(spec)).digest('hex'),
          idempotencyKey,
          priority,
          deadlineMs: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
          platforms: spec.platforms.length === 0 ? ['linux/amd64'] : spec.platforms,
          baseLayers: [],
        },
        { signal },
      );
      return { build: await view(record, signal), how };
    },
    get: async (workspaceId, buildId, { signal }) =>
      await found(await queue.get(workspaceId, buildId, { signal }), buildId, signal),
    cancel: async (workspaceId, buildId, reason, { signal }) =>
      await found(await queue.cancel(workspaceId, buildId, reason, { signal }), buildId, signal),
    watch: (workspaceId, buildId, options) => queue.watch(workspaceId, buildId, options),
    list: async (workspaceId, query, options) => await queue.list(workspaceId, query, options),
  };
}

/** Archives of workspace `a` alone. */
export const oneArchive: Archives = {
  resolve(workspaceId, image) {
    if (workspaceId !== 'a')
      return Promise.reject(new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${Object.values(image)[0] ?? ''}`));
    const digest = `sha256:${'1'.repeat(64)}`;
    const archive = {
      platform: 'linux/amd64',
      uri: 's3://b/archives/1.clip',
      digest,
      sizeBytes: 5,
      manifestDigest: digest,
    };
    const url = { href: 'https://s3.example/1.clip?X-Amz-Signature=1', expiresAtMs: 1_800_000_000_000 };
    return Promise.resolve({ archives: [{ ...archive, storageRef: 'r/a:a-web', url }], generation: 7 });
  },
  indexImage: () => Promise.reject(new TypeError('the password is swordfish')),
};

/** A worker that is empty whenever it is asked. */
export function emptyWorker(queue: BuildQueue): WorkerControl {
  return {
    capacity: async ({ signal }) => ({
      workers: [worker('w1', { baseLayers: ['sha256:1'] })],
      depth: await queue.depth({ signal }),
    }),
    drain: () => Promise.resolve({ finished: 2, handedBack: 1 }),
  };
}
