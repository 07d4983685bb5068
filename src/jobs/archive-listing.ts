import { type ClipNode, type LayerRecord, openArchive } from '../archive/index.ts';
import { type NamedArchiveContext, openNamedArchive } from './named-archive.ts';

/** What an archive says of its files: which bytes of which layer each of them has. */
export interface ArchiveListing {
  readonly layers: readonly LayerRecord[];
  readonly nodes: readonly ClipNode[];
}

/**
 * Reads the list of files that a mount does without, by ranges. Throws PATH_NOT_FOUND, STORE_OBJECT_NOT_FOUND,
 * ARCHIVE_NOT_LAZY, …
 */
export async function readArchiveListing(name: string, context: NamedArchiveContext): Promise<ArchiveListing> {
  await using source = await openNamedArchive(name, context);
  const archive = await openArchive(source, context);
  return { layers: await archive.layers(context), nodes: await archive.nodes(context) };
}
