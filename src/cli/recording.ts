import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import { type ProfileName, readProfile } from '../jobs/index.ts';
import type { Recording } from '../mount/index.ts';
import { formatPlatform, localPlatform } from '../oci/index.ts';
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
  readonly complete?: string;
  readonly store?: string;
  readonly platform?: string;
}

const IMAGE_NAME = /^[^/]+\/[^/]+$/;

/** What a mount records and fetches first. A profile that `auto` cannot find costs its help, not the mount. */
export async function recordingOf(
  source: string,
  entry: string,
  flags: RecordingFlags,
  context: CommandContext,
): Promise<Recording> {
  const traceFile = flags.trace === undefined ? undefined : await placeForTrace(flags.trace);
  const completeBytesPerSecond = flags.complete === undefined ? undefined : parseSize(flags.complete, '--complete');
  const named = { ...flags, entry: flags.entry ?? entry };
  const profile = await profileFor(source, named, context);
  return {
    traceFile,
    entry: named.entry,
    completeBytesPerSecond,
    ...(profile !== undefined && { profile: profileBytes(profile) }),
  };
}

/** The name of an image's profile. Throws USAGE for what is no WORKSPACE/IMAGE. */
export function profileName(image: string, entry: string, platform?: string): ProfileName {
  const [workspace = '', name = ''] = image.split('/');
  if (!IMAGE_NAME.test(image)) throw new WorkerError('USAGE', `${image}: a profile belongs to a WORKSPACE/IMAGE`);
  return { workspace, image: name, platform: platform ?? formatPlatform(localPlatform()), entry };
}

async function profileFor(
  source: string,
  flags: RecordingFlags & { readonly entry: string },
  context: CommandContext,
): Promise<Profile | undefined> {
  const { entry, platform, profile: wanted } = flags;
  if (wanted === undefined || wanted === 'none') return undefined;
  if (wanted !== 'auto' && (await isFile(wanted))) return parseProfileOrTrace(await readTraceFile(wanted));
  const image = wanted === 'auto' ? source : wanted;
  if (wanted !== 'auto' && !IMAGE_NAME.test(image))
    throw new WorkerError('PATH_NOT_FOUND', `${wanted}: no such profile (a file, auto, or WORKSPACE/IMAGE)`);
  try {
    await using store = objectStore(context, flags.store);
    const found = IMAGE_NAME.test(image)
      ? await readProfile(store, profileName(image, entry, platform), context)
      : undefined;
    if (found === undefined) context.log.info({ image, entry }, 'no profile is published');
    return found;
  } catch (thrown) {
    if (wanted !== 'auto' || !(thrown instanceof WorkerError)) throw thrown;
    context.log.warn({ image, code: thrown.code, reason: thrown.message }, 'mounting without a profile');
    return undefined;
  }
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
