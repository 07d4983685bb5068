import type { Cancelable } from '../../errors/index.ts';
import { ArchiveServiceClient } from '../../gen/clipyard/v1/archive.ts';
import { BuildServiceClient } from '../../gen/clipyard/v1/build.ts';
import { WorkerServiceClient } from '../../gen/clipyard/v1/worker.ts';
import type { Archives, Builds, WorkerControl } from '../../worker/index.ts';
import { indexedFromProto, indexRequestToProto, resolvedFromProto, resolveToProto } from '../mapping/archive.ts';
import { buildFromProto } from '../mapping/build.ts';
import { safeNumber, wireNumber } from '../mapping/fields.ts';
import { stateToProto } from '../mapping/state.ts';
import { submitRequestToProto, submittedFromProto } from '../mapping/submit.ts';
import { capacityFromProto, type SeenCapacity } from '../mapping/worker.ts';
import { Channel, type ChannelOptions, CLIENT_OPTIONS } from './channel.ts';
import { uploadAgain, uploadBytes } from './upload.ts';
import { watchResumed } from './watch.ts';

export interface ConnectOptions extends Omit<ChannelOptions, 'random'> {
  /** How long a watch puts up with a worker that is out of reach; default 2 minutes. */
  readonly patienceMs?: number;
  readonly random?: () => number;
}

/** The workspace of a call that leaves it to the token or to the worker's default. */
export const OWN_WORKSPACE = '';

/** A worker elsewhere, by the interfaces it has in its own process. Methods throw its codes, and WORKER_UNAVAILABLE. */
export interface WorkerClient extends Disposable {
  /** `builds.upload` of what `open` gives, from its start again where the connection breaks. */
  upload(workspaceId: string, open: () => AsyncIterable<Uint8Array>, options: Cancelable): ReturnType<Builds['upload']>;
  readonly builds: Builds;
  readonly archives: Archives;
  readonly control: Pick<WorkerControl, 'drain'> & { capacity(options: Cancelable): Promise<SeenCapacity> };
}

const ANSWER_MS = 30_000;
/** A worker resolves base images, and clones, before it answers. */
const SUBMIT_MS = 600_000;
const PATIENCE_MS = 120_000;

/** Nothing is dialled before the first call. Throws CONFIG_INVALID. */
export function connectWorker({
  patienceMs = PATIENCE_MS,
  random = Math.random,
  ...options
}: ConnectOptions): WorkerClient {
  const channel = new Channel({ ...options, random });
  const { target } = channel.address;
  const builds = new BuildServiceClient(target, channel.credentials, CLIENT_OPTIONS);
  const archives = new ArchiveServiceClient(target, channel.credentials, CLIENT_OPTIONS);
  const control = new WorkerServiceClient(target, channel.credentials, CLIENT_OPTIONS);
  const ours = buildsOver(builds, channel, patienceMs);
  return {
    builds: ours,
    upload: async (workspaceId, open, { signal }) =>
      await uploadAgain(() => ours.upload(workspaceId, open(), { signal }), channel, { patienceMs, signal }),
    archives: archivesOver(archives, channel),
    control: controlOver(control, channel),
    [Symbol.dispose]: () => {
      for (const client of [builds, archives, control]) client.close();
    },
  };
}

function buildsOver(client: BuildServiceClient, channel: Channel, patienceMs: number): Builds {
  return {
    upload: async (workspaceId, bytes, { signal }) => {
      const method = client.uploadContext.bind(client);
      const answer = await uploadBytes(method, channel.metadata(workspaceId), bytes, { signal }).catch(
        (thrown: unknown) => {
          signal.throwIfAborted();
          throw isOfCall(thrown) ? channel.error(thrown) : thrown;
        },
      );
      return { digest: answer.digest, sizeBytes: safeNumber(answer.sizeBytes, 'size_bytes') };
    },
    submit: async (workspaceId, request, { signal }) => {
      // With a key the worker knows a repetition from a second build.
      const again = request.idempotencyKey !== undefined;
      const options = { again, signal, timeoutMs: SUBMIT_MS, workspaceId };
      return submittedFromProto(await channel.call(client.submit.bind(client), submitRequestToProto(request), options));
    },
    get: async (workspaceId, buildId, { signal }) => {
      const options = { again: true, signal, timeoutMs: ANSWER_MS, workspaceId };
      return buildFromProto(await channel.call(client.get.bind(client), { buildId }, options));
    },
    cancel: async (workspaceId, buildId, reason, { signal }) => {
      const options = { again: true, signal, timeoutMs: ANSWER_MS, workspaceId };
      return buildFromProto(await channel.call(client.cancel.bind(client), { buildId, reason }, options));
    },
    list: async (workspaceId, { imageId = '', limit, page = '', states = [] }, { signal }) => {
      const request = { states: states.map(stateToProto), imageId, pageSize: limit, pageToken: page };
      const options = { again: true, signal, timeoutMs: ANSWER_MS, workspaceId };
      const { builds, nextPageToken } = await channel.call(client.list.bind(client), request, options);
      return { records: builds.map(buildFromProto), next: nextPageToken === '' ? undefined : nextPageToken };
    },
    watch: (workspaceId, buildId, { after, signal, skipLogs = false }) =>
      watchResumed(
        (cursor) => client.watch({ buildId, cursor: wireNumber(cursor), skipLogs }, channel.metadata(workspaceId)),
        channel,
        { after, patienceMs, signal },
      ),
  };
}

function archivesOver(client: ArchiveServiceClient, channel: Channel): Archives {
  return {
    resolve: async (workspaceId, image, { platform, signal }) => {
      const options = { again: true, signal, timeoutMs: ANSWER_MS, workspaceId };
      return resolvedFromProto(
        await channel.call(client.resolve.bind(client), resolveToProto(image, platform), options),
      );
    },
    indexImage: async (workspaceId, request, { signal }) => {
      const options = { again: false, signal, workspaceId };
      return indexedFromProto(
        await channel.call(client.indexImage.bind(client), indexRequestToProto(request), options),
      );
    },
  };
}

function controlOver(client: WorkerServiceClient, channel: Channel): WorkerClient['control'] {
  return {
    capacity: async ({ signal }) => {
      const options = { again: true, signal, timeoutMs: ANSWER_MS, workspaceId: OWN_WORKSPACE };
      return capacityFromProto(await channel.call(client.capacity.bind(client), {}, options));
    },
    drain: async (budgetMs, { signal }) => {
      const options = { again: false, signal, workspaceId: OWN_WORKSPACE };
      return await channel.call(client.drain.bind(client), { budgetMs: wireNumber(budgetMs ?? 0) }, options);
    },
  };
}

/** A failure to read what is uploaded is none of the call's. */
function isOfCall(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number';
}
