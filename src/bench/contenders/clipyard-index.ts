import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runMeasured } from '../measure/run-measured.ts';
import type { Contender, Outcome, Place } from './contender.ts';

export interface IndexedImage {
  readonly layoutDir: string;
  readonly repository: string;
  readonly tag: string;
}

export interface ClipyardCommand {
  /** Program and arguments in front of the command's name. */
  readonly self: readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** `clipyard index`, in the ways it can be asked. */
export function clipyardIndexContenders(
  image: IndexedImage,
  clipyard: ClipyardCommand,
  { warmState }: { readonly warmState: string },
): readonly Contender[] {
  const fromLayout = `oci:${image.layoutDir}:latest`;
  const run = async (place: Place, from: string, state: string, more: readonly string[]): Promise<Outcome> => {
    const archivePath = join(place.directory, 'image.clip');
    const storage = `${place.registry}/${image.repository}:${image.tag}`;
    const args = ['--json', 'index', '--from', from, '--storage-ref', storage, '--output', archivePath, ...more];
    const usage = await runMeasured(
      { command: [...clipyard.self, ...args], env: { ...clipyard.env, CLIPYARD_STATE: state, CLIPYARD_LOG: 'error' } },
      place,
    );
    return { ...usage, archivePath, archiveBytes: (await stat(archivePath)).size };
  };
  const inPlace = (place: Place) => join(place.directory, 'state');
  return [
    {
      id: 'native',
      title: 'clipyard index, from the OCI layout',
      run: (place) => run(place, fromLayout, inPlace(place), ['--engine', 'native', '--no-cache']),
    },
    {
      id: 'native-cached',
      title: 'clipyard index, every layer indexed before',
      run: (place) => run(place, fromLayout, warmState, ['--engine', 'native']),
    },
    {
      id: 'portable',
      title: 'clipyard index --engine portable (TypeScript)',
      run: (place) => run(place, fromLayout, inPlace(place), ['--engine', 'portable', '--no-cache']),
    },
    {
      id: 'legacy',
      title: 'clipyard index, from the registry (legacy path)',
      run: (place) =>
        run(place, `docker://${place.registry}/${image.repository}:${image.tag}`, inPlace(place), [
          '--engine',
          'native',
          '--no-cache',
        ]),
    },
  ];
}
