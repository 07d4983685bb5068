import { resolve } from 'node:path';
import { publishProfile } from '../../jobs/index.ts';
import { traceMount } from '../../mount/index.ts';
import { mergeProfiles, type Profile, parseTrace, profileOf, type Trace } from '../../trace/index.ts';
import type { CommandContext } from '../context.ts';
import { writeResult } from '../output.ts';
import { profileName } from '../recording.ts';
import { objectStore } from '../services.ts';
import { readTraceFile } from '../trace-input.ts';
import { mountDaemon } from './mount.ts';

export interface ProfileFlags {
  readonly store?: string;
  readonly entry?: string;
  readonly platform?: string;
}

/** `clipyard trace`: what a mount touched so far, as the file that `--trace` writes at its end. */
export async function trace(dir: string, context: CommandContext): Promise<void> {
  context.stdout.write(await traceMount(mountDaemon(context), resolve(dir), context));
}

/** `clipyard profile publish`: for the entry point of each trace, and for starts that name none. */
export async function publish(
  image: string,
  paths: readonly string[],
  flags: ProfileFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const traces: Trace[] = [];
  for (const path of paths) traces.push(parseTrace(await readTraceFile(path)));
  const byEntry = Map.groupBy(traces, ({ entry }) => flags.entry ?? entry);
  await using store = objectStore(context, flags.store);
  const published: object[] = [];
  for (const [entry, of] of new Map([...byEntry, ['', traces]])) {
    const name = profileName(image, entry, flags.platform);
    const { profile, url } = await publishProfile(store, name, merged(of), context);
    published.push({ entry, url, runs: profile.runs, chunks: profile.chunks.length });
  }
  writeResult(
    context.stdout,
    { image, traces: traces.length, published },
    json,
    () => `${image}: ${traces.length} traces merged into ${published.length} profiles\n`,
  );
}

function merged(traces: readonly Trace[]): Profile {
  const [first, ...rest] = traces.map(profileOf);
  return rest.reduce(mergeProfiles, first ?? { runs: 1, chunks: [] });
}
