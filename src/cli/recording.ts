import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseImageId, parseWorkspaceId } from '../archive/index.ts';
import { WorkerError } from '../errors/index.ts';
import {
  noteRecording,
  type ProfileName,
  type ProfilePlace,
  profilePathOf,
  publishRecordings,
  readProfile,
  readProfileBeside,
  storeKeys,
} from '../jobs/index.ts';
import type { Recording } from '../mount/index.ts';
import { formatPlatform, localPlatform } from '../oci/index.ts';
import { parseReference } from '../registry/index.ts';
import { type Profile, parseProfileOrTrace, profileBytes } from '../trace/index.ts';
import type { CommandContext } from './context.ts';
import { parseSize } from './parse-options.ts';
import { objectStore } from './services.ts';
import { readTraceFile } from './trace-input.ts';

/** The flags of `mount` and `run` that record a start, or fetch in the order of recorded ones. */
export interface RecordingFlags {
  readonly trace?: string;
  readonly entry?: string;
  readonly profile?: string;
  /** Make this start a part of the image's profile, also when there is one. */
  readonly record?: boolean;
  readonly complete?: string;
  readonly store?: string;
  readonly platform?: string;
}

const IMAGE_NAME = /^[^/]+\/[^/]+$/;

/** What a mount records and fetches first, and how to take the note of a recording back. */
export interface PlannedRecording {
  readonly recording: Recording;
  forget(): Promise<void>;
}

/**
 * What a mount records and fetches first. With `auto`, and with `--record`, its start becomes a part of the image's profile
 * when it ends (`publishEnded`); `auto` leaves a profile that is there as it is. One that cannot be read costs its help, not the mount.
 */
export async function recordingOf(
  source: string,
  entry: string,
  flags: RecordingFlags,
  context: CommandContext,
): Promise<PlannedRecording> {
  const traceFile = flags.trace === undefined ? undefined : await placeForTrace(flags.trace);
  const completeBytesPerSecond = flags.complete === undefined ? undefined : parseSize(flags.complete, '--complete');
  const named = { ...flags, entry: flags.entry ?? entry };
  const place = await placeOf(source, flags);
  if (flags.record === true && place === undefined)
    throw new WorkerError('USAGE', `--record: ${source} has no place for a profile; name WORKSPACE/IMAGE or a file`);
  const { isKnown, profile } = await profileFor(place, named, context);
  const records = flags.record === true || (flags.profile === 'auto' && !isKnown);
  const pending =
    records && place !== undefined
      ? await noteRecording(
          context.settings.stateDir,
          { place, entry: named.entry, tracePath: traceFile },
          { signal: context.signal },
        )
      : undefined;
  const recording = {
    traceFile: pending?.tracePath ?? traceFile,
    entry: named.entry,
    completeBytesPerSecond,
    ...(profile !== undefined && { profile: profileBytes(profile) }),
  };
  return { recording, forget: async () => pending?.forget() };
}

/** Publishes the starts that were recorded on mounts which have ended. Fails for nobody: it is not what the command is for. */
export async function publishEnded(context: CommandContext, signal = context.signal): Promise<void> {
  const { log, settings } = context;
  await publishRecordings(settings.stateDir, {
    signal,
    openStore: (url) => objectStore(context, url),
    told: ({ entry, failure, runs, url }) => {
      if (failure === undefined) log.info({ entry, url, runs }, 'the recorded start is published');
      else log.warn({ entry, code: failure.code, reason: failure.message }, 'a recorded start is not published');
    },
  });
}

/** The name of an image's profile. Throws USAGE for what is no WORKSPACE/IMAGE. */
export function profileName(image: string, entry: string, platform = formatPlatform(localPlatform())): ProfileName {
  const [workspace = '', name = ''] = image.split('/');
  if (!IMAGE_NAME.test(image)) throw new WorkerError('USAGE', `${image}: a profile belongs to a WORKSPACE/IMAGE`);
  return { folder: storeKeys.profiles(parseWorkspaceId(workspace), parseImageId(name)), platform, entry };
}

/**
 * Where the profile of a source belongs: beside an archive, in a store as on disk; in the configured store under the name of
 * an image.
 */
async function placeOf(
  source: string,
  { platform = formatPlatform(localPlatform()), store }: RecordingFlags,
): Promise<ProfilePlace | undefined> {
  const path = source.startsWith('file://') ? fileURLToPath(source) : resolve(source);
  if (await isFile(path)) return { kind: 'file', path: profilePathOf(path) };
  const object = /^(s3:\/\/[^/]+)\/(.+)$/.exec(source);
  if (object !== null) return { kind: 'store', store: object[1], folder: profilePathOf(object[2] ?? ''), platform };
  const folder = folderOf(source);
  if (folder === undefined) return undefined;
  return { kind: 'store', folder, platform, ...(store !== undefined && { store }) };
}

function folderOf(source: string): string | undefined {
  if (IMAGE_NAME.test(source)) return profileName(source, '').folder;
  if (!source.startsWith('docker://')) return undefined;
  const { registry, repository } = parseReference(source.slice('docker://'.length));
  return storeKeys.registryProfiles(registry, repository);
}

interface FoundProfile {
  readonly profile?: Profile | undefined;
  /** Whether there is one, or nobody can say. */
  readonly isKnown: boolean;
}

async function profileFor(
  own: ProfilePlace | undefined,
  flags: RecordingFlags & { readonly entry: string },
  context: CommandContext,
): Promise<FoundProfile> {
  const { entry, platform, profile: wanted } = flags;
  if (wanted === undefined || wanted === 'none') return { isKnown: true };
  if (wanted !== 'auto' && (await isFile(wanted)))
    return { profile: parseProfileOrTrace(await readTraceFile(wanted)), isKnown: true };
  if (wanted !== 'auto' && !IMAGE_NAME.test(wanted))
    throw new WorkerError('PATH_NOT_FOUND', `${wanted}: no such profile (a file, auto, or WORKSPACE/IMAGE)`);
  const place = wanted === 'auto' ? own : ({ kind: 'store', ...profileName(wanted, entry, platform) } as const);
  try {
    const profile = place && (await profileAt(place, flags, context));
    if (profile === undefined) context.log.info({ entry, place: place?.kind }, 'no profile is published');
    return { profile, isKnown: profile !== undefined };
  } catch (thrown) {
    if (wanted !== 'auto' || !(thrown instanceof WorkerError)) throw thrown;
    context.log.warn({ code: thrown.code, reason: thrown.message }, 'mounting without a profile');
    return { isKnown: true };
  }
}

async function profileAt(
  place: ProfilePlace,
  { entry, store: url }: RecordingFlags & { readonly entry: string },
  context: CommandContext,
): Promise<Profile | undefined> {
  if (place.kind === 'file') return await readProfileBeside(place.path);
  await using store = objectStore(context, place.store ?? url);
  return await readProfile(store, { ...place, entry }, context);
}

/** The daemon writes the file when nobody is there any more to hear that it cannot. */
async function placeForTrace(path: string): Promise<string> {
  const place = resolve(path);
  const folder = await stat(dirname(place)).catch(() => undefined);
  if (folder?.isDirectory() !== true)
    throw new WorkerError('PATH_NOT_FOUND', `--trace ${path}: there is no folder ${dirname(place)}`);
  return place;
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
