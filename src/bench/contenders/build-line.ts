import { join } from 'node:path';
import type { BuildkitClient, BuildRequest } from '../../buildkit/index.ts';
import { type Cancelable } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import { cpuSecondsOf, peakBytesOf, readBytesOf, resetPeakOf } from '../measure/process-tree.ts';
import type { Outcome, Place } from './contender.ts';
import { findPeer } from './peer-tools.ts';
import { type PrivateBuildkit, startPrivateBuildkit } from './private-buildkit.ts';

/** What every contender of the pipeline builds. */
export interface BuiltImage {
  readonly contextDir: string;
  readonly tools: NativeToolPaths;
  /** Repositories of this benchmark begin with it. */
  readonly repositoryPrefix: string;
}

export function requestOf({ contextDir }: BuiltImage): BuildRequest {
  return { contextDir };
}

/**
 * Starts a daemon, lets it run the steps, and then measures `work`: from the last step on. What the daemon takes meanwhile
 * is counted, too.
 */
export async function fromLastStep(
  image: BuiltImage,
  place: Place,
  work: (buildkit: PrivateBuildkit) => Promise<Outcome>,
): Promise<Outcome> {
  const daemon = findPeer('buildkitd', image.tools);
  await using buildkit = await startPrivateBuildkit(daemon.path ?? 'buildkitd', {
    parentDir: join(place.directory, '..'),
    signal: place.signal,
  });
  await warm(buildkit.client, image, place);
  const { pid } = buildkit;
  resetPeakOf(pid);
  const before = { cpuSeconds: cpuSecondsOf(pid), readBytes: readBytesOf(pid) };
  const outcome = await work(buildkit);
  return {
    ...outcome,
    cpuSeconds: outcome.cpuSeconds + cpuSecondsOf(pid) - before.cpuSeconds,
    readBytes: outcome.readBytes + readBytesOf(pid) - before.readBytes,
    peakBytes: outcome.peakBytes + peakBytesOf(pid),
  };
}

async function warm(client: BuildkitClient, image: BuiltImage, { signal }: Cancelable): Promise<void> {
  await client.runSteps(requestOf(image), { signal });
}
