import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NativeToolPaths } from '../../native/index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import type { Contender, Outcome, Place } from './contender.ts';
import { findPeer } from './peer-tools.ts';

/** The stock CLIP indexer; the version of the interop tests reads from a registry only. */
export async function stockIndex(reader: string, reference: string, place: Place): Promise<Outcome> {
  const archivePath = join(place.directory, 'stock.clip');
  const usage = await runMeasured(
    { command: [reader, 'index', '-image', reference, '-out', archivePath], env: { PATH: '/usr/bin:/bin', HOME: '/' } },
    place,
  );
  return { ...usage, archivePath, archiveBytes: (await stat(archivePath)).size };
}

/** Nodes in an archive as the stock reader lists them; undefined without it. */
export async function nodesOf(
  archivePath: string,
  tools: NativeToolPaths,
  { signal }: Pick<Place, 'signal'>,
): Promise<number | undefined> {
  const reader = findPeer('clip-reader', tools);
  if (reader.path === undefined) return undefined;
  const { stdout } = await runMeasured({ command: [reader.path, 'list', archivePath] }, { signal });
  return stdout.split('\n').length - 1;
}

export function stockClipContender(
  image: { readonly repository: string; readonly tag: string },
  tools: NativeToolPaths,
): Contender {
  const reader = findPeer('clip-reader', tools);
  return {
    id: 'clip',
    title: 'stock CLIP indexer, from the registry',
    unavailable: reader.path === undefined ? reader.missing : undefined,
    run: (place) => stockIndex(reader.path ?? '', `${place.registry}/${image.repository}:${image.tag}`, place),
  };
}
