import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCodeOf } from '../errors/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';
import type { BuildJournal } from './build-journal.ts';

/** An upload that a registry keeps until it is finished, dropped or expired. */
const UploadNote = z.object({ registry: z.string(), repository: z.string(), url: z.url({ protocol: /^https?$/ }) });
type UploadNote = z.infer<typeof UploadNote>;

const FILE = 'uploads.jsonl';
/** Requests at once. */
const DROP_WIDTH = 4;

/**
 * Writes down each upload of a build before its bytes flow: in the build's temporary files, which whoever clears them away reads,
 * and in the journal, for when the machine does not come back.
 */
export function uploadNotes(
  target: Repository,
  { journal, scratchDir }: { readonly journal?: BuildJournal | undefined; readonly scratchDir: string },
): (uploadUrl: string) => Promise<void> {
  return async (url) => {
    const { registry, repository } = target;
    const note: UploadNote = { registry, repository, url };
    // Not flushed: what a power loss takes the registry expires.
    appendFileSync(join(scratchDir, FILE), `${JSON.stringify(note)}\n`, { mode: 0o600 });
    await journal?.write('uploading', { ...note });
  };
}

/** What earlier attempts wrote down, here in `scratchDir` or in the journal. Notes that cannot be read are left out. */
export async function readUploadNotes({
  journal,
  scratchDir,
}: {
  readonly journal?: BuildJournal | undefined;
  readonly scratchDir?: string;
}): Promise<readonly UploadNote[]> {
  const lines = scratchDir === undefined ? [] : await linesOf(join(scratchDir, FILE));
  const notes = [...lines, ...(journal?.read('uploading') ?? [])].flatMap(
    (data) => UploadNote.safeParse(data).data ?? [],
  );
  return [...new Map(notes.map((note) => [note.url, note])).values()];
}

/** Has the registry drop them; finished ones it knows no more. Says how many it could not be asked for. Never throws. */
export async function dropUploads(
  notes: readonly UploadNote[],
  client: Pick<RegistryClient, 'dropUpload'>,
): Promise<number> {
  const waiting = [...notes];
  let left = 0;
  const dropOnes = async () => {
    for (let note = waiting.shift(); note !== undefined; note = waiting.shift()) {
      if (!(await client.dropUpload(note, note.url))) left += 1;
    }
  };
  await Promise.all(Array.from({ length: DROP_WIDTH }, dropOnes));
  return left;
}

async function linesOf(path: string): Promise<readonly unknown[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').map(parsed);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

/** The last line of a killed process may be half of one. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
