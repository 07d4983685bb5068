import { join } from 'node:path';
import { type Digest, isDigest } from '../../digest/index.ts';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { isIndexType, parseIndex, parseManifest } from '../../oci/index.ts';
import { endpointOf, type RegistryClient, type Repository } from '../../registry/index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import type { ClipyardCommand } from './clipyard-index.ts';
import type { Contender, Outcome, Place } from './contender.ts';

export interface ReleasedImage {
  readonly contextDir: string;
  /** Owner of the repositories: a benchmark's own name. */
  readonly owner: string;
  readonly clipyard: ClipyardCommand;
  /** Of the whole benchmark: the ledger of releases, the archives. */
  readonly store: string;
}

export const COMMIT = 'c0ffee0';

/** Every release builds and pushes, as without `--commit`; nothing is remembered from the one before. */
export function buildingReleases(image: ReleasedImage): Contender {
  let patch = 0;
  return {
    id: 'build',
    title: 'clipyard release APP VERSION: two platforms built, packed and pushed each time',
    run: (place) => runRelease('build', `v1.0.${patch++}`, ['--no-cache', '--no-pack-cache'], image, place),
  };
}

/** The commit's image is there: a release is two tags. */
export function retaggingReleases(image: ReleasedImage): Contender {
  let patch = 0;
  return {
    id: 'retag',
    title: 'clipyard release APP VERSION --commit SHA: the image of the commit under version and latest',
    run: (place) => runRelease('retag', `v1.0.${patch++}`, ['--commit', COMMIT], image, place),
  };
}

/** `clipyard release` as a person runs it, start of the program included. */
export async function runRelease(
  app: string,
  version: string,
  flags: readonly string[],
  { clipyard, contextDir, owner, store }: ReleasedImage,
  place: Place,
): Promise<Outcome> {
  const names = ['--registry', place.registry, '--owner', owner, '--domain', 'bench', '--workspace', 'bench'];
  const args = ['--json', 'release', app, version, ...names, '--context', contextDir, '--store', `file://${store}`];
  const env = { ...clipyard.env, CLIPYARD_STATE: join(place.directory, 'state'), CLIPYARD_LOG: 'error' };
  const usage = await runMeasured({ command: [...clipyard.self, ...args, ...flags], env }, place);
  const { seconds, cpuSeconds, peakBytes, readBytes } = usage;
  const { durationMs } = JSON.parse(usage.stdout) as { durationMs: number };
  // Without the start of the program.
  return { seconds, cpuSeconds, peakBytes, readBytes, phases: { push: durationMs / 1000 } };
}

const DELETE_TIMEOUT_MS = 30_000;

/** Takes a repository of a benchmark away as far as the registry lets us: manifests of all tags, their children, blobs. */
export async function removeReleases(
  target: Repository,
  { client, say }: { readonly client: RegistryClient; readonly say: (line: string) => void },
): Promise<void> {
  if (!target.repository.startsWith('bench-'))
    throw new WorkerError('INTERNAL', `${target.repository} is no repository of a benchmark`);
  const signal = AbortSignal.timeout(DELETE_TIMEOUT_MS); // also when the benchmark was stopped
  try {
    const paths = new Set<string>();
    for (const tag of await client.listTags(target, { signal })) {
      paths.add(`manifests/${tag}`);
      for (const name of await reachedFrom(target, tag, client, { signal })) paths.add(name);
    }
    for (const path of paths)
      await fetch(new URL(`/v2/${target.repository}/${path}`, endpointOf(target.registry, false)), {
        method: 'DELETE',
        signal,
      });
  } catch (thrown) {
    say(`${target.registry}/${target.repository} could not be removed: ${messageOf(thrown)}`);
  }
}

async function reachedFrom(
  target: Repository,
  name: string | Digest,
  client: RegistryClient,
  options: Cancelable,
): Promise<readonly string[]> {
  const { bytes, digest, mediaType } = await client.getManifest(target, name, options);
  if (!isIndexType(mediaType)) {
    const { config, layers } = parseManifest(bytes);
    return [`manifests/${digest}`, ...[config, ...layers].map((blob) => `blobs/${blob.digest}`)];
  }
  const children = parseIndex(bytes).manifests.filter((child) => isDigest(child.digest));
  const below = await Promise.all(children.map((child) => reachedFrom(target, child.digest, client, options)));
  return [`manifests/${digest}`, ...below.flat()];
}
