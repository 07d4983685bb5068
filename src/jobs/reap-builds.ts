import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { namesIn } from '../files/index.ts';
import { OciLayout } from '../oci/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import { landingDirectory } from './landing-upkeep.ts';
import { dropUploads, readUploadNotes } from './upload-notes.ts';

const PREFIX = 'build-';

/** The folder of a build's temporary files: its own by the lock of its landing layout. */
export function buildScratchDirectory(stateDir: string, tag: string): string {
  return join(stateDir, 'tmp', `${PREFIX}${tag}`);
}

/**
 * Removes what killed builds left, here and of uploads at the registry: the next build of the image would do it, but there may be
 * none. A build that runs holds its lock and keeps its files; where the registry does not answer, they wait for the next time.
 * Says how many went.
 */
export async function reapBuilds(
  stateDir: string,
  { client, signal }: Cancelable & { readonly client: Pick<RegistryClient, 'dropUpload'> },
): Promise<number> {
  let reaped = 0;
  for (const name of await namesIn(join(stateDir, 'tmp'))) {
    if (!name.startsWith(PREFIX)) continue;
    signal.throwIfAborted();
    const tag = name.slice(PREFIX.length);
    try {
      const landing = await OciLayout.open(join(landingDirectory(stateDir), tag), { create: true, signal });
      await using _lock = await landing.lock({ signal, waitMs: 0 });
      const scratchDir = buildScratchDirectory(stateDir, tag);
      if ((await dropUploads(await readUploadNotes({ scratchDir }), client)) > 0) continue;
      await rm(scratchDir, { recursive: true, force: true });
      reaped += 1;
    } catch (thrown) {
      if (!(thrown instanceof WorkerError) || thrown.code !== 'LAYOUT_LOCKED') throw thrown;
    }
  }
  return reaped;
}
