import { randomBytes } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { makeDirectory, namesIn, removeQuietly, writeFileAtomically } from '../files/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { formatProfile, mergeProfiles, type Profile, parseProfile, parseTrace, startOf } from '../trace/index.ts';
import { publishProfile } from './profiles.ts';

/** Where the profile of an image lies: in a folder of a store, or beside an archive file. */
const ProfilePlace = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('store'),
    /** As it was named for the mount; absent: the configured one. */
    store: z.string().optional(),
    folder: z.string(),
    platform: z.string(),
  }),
  z.object({ kind: z.literal('file'), path: z.string() }),
]);
export type ProfilePlace = z.infer<typeof ProfilePlace>;

const Pending = z.object({
  v: z.literal(1),
  place: ProfilePlace,
  /** What ran; empty: anything. */
  entry: z.string(),
  tracePath: z.string(),
  /** The trace is the person's file, too. */
  keep: z.boolean(),
});

/** A start that is being recorded. Its trace is written when the mount ends, by whomever that is done. */
export interface PendingRecording {
  readonly tracePath: string;
  /** The mount did not come up: there will be no trace. */
  forget(): Promise<void>;
}

export interface RecordingsOptions extends Cancelable {
  readonly openStore: (url: string | undefined) => ObjectStore;
  /** Told what came of each: its profile, or why there is none. */
  readonly told: (what: PublishedRecording) => void;
}

export interface PublishedRecording {
  readonly entry: string;
  readonly url?: string;
  readonly runs?: number;
  readonly failure?: WorkerError;
}

/** Notes that a mount records its start, so that `publishRecordings` finds the trace when the mount has ended. */
export async function noteRecording(
  stateDir: string,
  {
    entry,
    place,
    tracePath,
  }: { readonly place: ProfilePlace; readonly entry: string; readonly tracePath?: string | undefined },
  { signal }: Cancelable,
): Promise<PendingRecording> {
  const directory = recordingsIn(stateDir);
  await makeDirectory(directory, { mode: 0o700 });
  const name = randomBytes(8).toString('hex');
  const pending: z.infer<typeof Pending> = {
    v: 1,
    place,
    entry,
    tracePath: tracePath ?? join(directory, `${name}.trace`),
    keep: tracePath !== undefined,
  };
  const path = join(directory, `${name}.json`);
  await writeFileAtomically(path, Buffer.from(JSON.stringify(pending)), { signal });
  return { tracePath: pending.tracePath, forget: () => rm(path, { force: true }) };
}

/**
 * Merges the starts whose mounts have ended into the profiles of their images, each once however many commands do this at a
 * time. What cannot be published is given up, unless another try may help: then the next call has it again.
 */
export async function publishRecordings(stateDir: string, options: RecordingsOptions): Promise<void> {
  const directory = recordingsIn(stateDir);
  for (const name of await namesIn(directory)) {
    if (!name.endsWith('.json')) continue;
    const path = join(directory, name);
    const taken = join(directory, `${name}.taken`);
    const pending = await readPending(path);
    if (pending === undefined) continue;
    const trace = await readFile(pending.tracePath, 'utf8').catch(() => undefined);
    if (trace === undefined || !(await isRenamed(path, taken))) continue; // it goes on, or another command has it
    try {
      options.told({ entry: pending.entry, ...(await publish(pending, startOf(parseTrace(trace)), options)) });
    } catch (thrown) {
      const failure = toWorkerError(thrown, 'publish a profile');
      options.told({ entry: pending.entry, failure });
      if (failure.retryable || failure.code === 'CANCELED') {
        await rename(taken, path);
        continue;
      }
    }
    if (!pending.keep) await removeQuietly(pending.tracePath);
    await removeQuietly(taken);
  }
}

/** The profile beside an archive file; undefined when there is none. Throws TRACE_INVALID. */
export async function readProfileBeside(path: string): Promise<Profile | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseProfile(text);
}

/** Of an archive file. */
export function profilePathOf(archivePath: string): string {
  return `${archivePath}.profile`;
}

async function publish(
  { entry, place }: z.infer<typeof Pending>,
  profile: Profile,
  { openStore, signal }: RecordingsOptions,
): Promise<{ readonly url: string; readonly runs: number }> {
  if (profile.chunks.length === 0) throw new WorkerError('TRACE_INVALID', 'the start read nothing that is fetched');
  if (place.kind === 'file') return await mergeBeside(place.path, profile, { signal });
  await using store = openStore(place.store);
  // That of any start is what a start of something new begins with.
  const any = await publishProfile(store, { ...place, entry: '' }, profile, { signal });
  const of = entry === '' ? any : await publishProfile(store, { ...place, entry }, profile, { signal });
  return { url: of.url, runs: of.profile.runs };
}

/** Of two that do this at one moment the first is lost; the next start brings it again. */
async function mergeBeside(path: string, profile: Profile, { signal }: Cancelable) {
  const before = await readProfileBeside(path);
  const merged = before === undefined ? profile : mergeProfiles(before, profile);
  await writeFileAtomically(path, Buffer.from(formatProfile(merged)), { signal });
  return { url: `file://${path}`, runs: merged.runs };
}

async function readPending(path: string): Promise<z.infer<typeof Pending> | undefined> {
  try {
    return Pending.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // taken by another command, or not ours
  }
}

async function isRenamed(from: string, to: string): Promise<boolean> {
  return await rename(from, to).then(
    () => true,
    () => false,
  );
}

function recordingsIn(stateDir: string): string {
  return join(stateDir, 'recordings');
}
