import { join } from 'node:path';
import type { BuildResult } from '../../jobs/index.ts';
import { createRegistryClient } from '../../registry/index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import { type BuiltImage, fromLastStep } from './build-line.ts';
import type { ClipyardCommand } from './clipyard-index.ts';
import type { Contender, Outcome, PhaseName, Place } from './contender.ts';
import { findPeer } from './peer-tools.ts';
import { removeImage } from './registry-image.ts';

/** `clipyard build` as a person runs it, start of the program included. */
export function clipyardBuildContender(
  image: BuiltImage,
  clipyard: ClipyardCommand,
  { flags, say }: { readonly flags: readonly string[]; readonly say: (line: string) => void },
): Contender {
  const daemon = findPeer('buildkitd', image.tools);
  return {
    id: 'clipyard',
    title: `clipyard build ${flags.join(' ')}`.trimEnd(),
    unavailable: daemon.path === undefined ? daemon.missing : undefined,
    run: (place) =>
      fromLastStep(image, place, async (buildkit) => {
        const repository = `${image.repositoryPrefix}-clipyard`;
        const store = join(place.directory, 'store');
        const args = [
          ...['--json', 'build', '--context', image.contextDir, '--workspace', 'bench', '--image-id', 'image'],
          ...[
            '--registry',
            `${place.registry}/${repository}`,
            '--store',
            `file://${store}`,
            '--no-pack-cache',
            ...flags,
          ],
        ];
        const env = {
          ...clipyard.env,
          CLIPYARD_STATE: join(place.directory, 'state'),
          CLIPYARD_BUILDKIT: buildkit.address,
          CLIPYARD_BUILDKIT_CONTENT: buildkit.contentDir,
          CLIPYARD_LOG: 'error',
        };
        try {
          const usage = await runMeasured({ command: [...clipyard.self, ...args], env }, place);
          return outcomeOf(usage, JSON.parse(usage.stdout) as BuildResult, store);
        } finally {
          await removeOwn(place, repository, say);
        }
      }),
  };
}

async function removeOwn(place: Place, repository: string, say: (line: string) => void): Promise<void> {
  await using client = createRegistryClient();
  await removeImage({ registry: place.registry, repository, tag: 'bench-image' }, { client, say });
}

function outcomeOf(
  { cpuSeconds, peakBytes, readBytes, seconds }: Outcome,
  result: BuildResult,
  storeDir: string,
): Outcome {
  const lasting = (names: readonly string[]) => {
    const spans = result.phases.filter(({ name }) => names.includes(name));
    if (spans.length === 0) return 0;
    const end = Math.max(...spans.map(({ durationMs, startMs }) => startMs + durationMs));
    return (end - Math.min(...spans.map(({ startMs }) => startMs))) / 1000;
  };
  const phases: Record<PhaseName, number> = {
    build: lasting(['building', 'landing']),
    push: lasting(['pushing']),
    index: lasting(['packing']) + lasting(['archiving']),
    upload: lasting(['publishing']),
  };
  const [archive] = result.archives;
  return {
    seconds,
    cpuSeconds,
    peakBytes,
    readBytes,
    phases,
    blobBytes: result.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    ...(archive !== undefined && {
      archiveBytes: archive.sizeBytes,
      archivePath: join(storeDir, 'archives', `${archive.digest.slice('sha256:'.length)}.clip`),
    }),
  };
}
