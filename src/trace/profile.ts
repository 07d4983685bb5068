import { z } from 'zod';
import { WorkerError } from '../errors/index.ts';
import { MAX_TRACE_BYTES, parseTrace, SHORT_DIGEST_BYTES, type Trace } from './trace-file.ts';

/** Chunks that a profile keeps: 4 GiB where chunks are 256 KiB. */
export const MAX_PROFILE_CHUNKS = 16_384;
/** A profile forgets: what came more than so many runs ago weighs half. */
const MAX_RUNS = 64;
/** A chunk that fewer than one in so many runs touched comes after all others. */
const RARE = 4;

const digest = z.string().refine((text) => {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === SHORT_DIGEST_BYTES && bytes.toString('base64url') === text;
}, 'not a short digest');

const ProfileFile = z.object({
  v: z.literal(1),
  format: z.literal('clipyard-profile'),
  runs: z.number().int().positive().max(MAX_RUNS),
  chunks: z
    .array(
      z.tuple([
        digest,
        z.number().int().positive().max(MAX_RUNS),
        z
          .number()
          .int()
          .nonnegative()
          .max(2 ** 31),
      ]),
    )
    .max(MAX_PROFILE_CHUNKS),
});

/** A chunk by its content, how many runs touched it, and its earliest place in their order. */
export interface ProfiledChunk {
  readonly digest: string;
  readonly runs: number;
  readonly order: number;
}

/** What starts of one image and entry point have in common: chunks in the order in which to fetch them. */
export interface Profile {
  readonly runs: number;
  readonly chunks: readonly ProfiledChunk[];
}

/** What comes later is work, not the start: 60 s, which a slow link and a large program take. */
const START_US = 60e6;

/** A profile of what a mount touched while its program started, however long it ran. */
export function startOf(trace: Trace): Profile {
  const [first] = trace.touches;
  const isStart = ({ atUs }: { readonly atUs: number }) => atUs - (first?.atUs ?? 0) <= START_US;
  return profileOf({ ...trace, touches: trace.touches.filter(isStart) });
}

/** A profile of one run. */
export function profileOf(trace: Trace): Profile {
  const digests = new Set(trace.touches.flatMap((touch) => touch.digests));
  return bounded({ runs: 1, chunks: [...digests].map((text, order) => ({ digest: text, runs: 1, order })) });
}

/** The union: runs add up, the earliest place counts. Neither grows without bound. */
export function mergeProfiles(older: Profile, newer: Profile): Profile {
  const chunks = new Map(older.chunks.map((chunk) => [chunk.digest, chunk]));
  for (const { digest: key, order, runs } of newer.chunks) {
    const known = chunks.get(key);
    chunks.set(key, {
      digest: key,
      runs: runs + (known?.runs ?? 0),
      order: Math.min(order, known?.order ?? Number.MAX_SAFE_INTEGER),
    });
  }
  return bounded(faded({ runs: older.runs + newer.runs, chunks: [...chunks.values()] }));
}

/** Throws TRACE_INVALID for anything that `formatProfile` would not write. */
export function parseProfile(text: string): Profile {
  if (text.length > MAX_TRACE_BYTES) throw new WorkerError('TRACE_INVALID', 'no profile: it is too long');
  try {
    const { chunks, runs } = ProfileFile.parse(JSON.parse(text));
    if (chunks.some(([, of]) => of > runs) || new Set(chunks.map(([key]) => key)).size !== chunks.length)
      throw new WorkerError('TRACE_INVALID', 'no profile: its chunks do not fit its runs');
    return { runs, chunks: chunks.map(([key, of, order]) => ({ digest: key, runs: of, order })) };
  } catch (thrown) {
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('TRACE_INVALID', 'the file is no profile', {}, { cause: thrown });
  }
}

export function formatProfile({ chunks, runs }: Profile): string {
  const rows = chunks.map((chunk) => JSON.stringify([chunk.digest, chunk.runs, chunk.order]));
  return `{"v":1,"format":"clipyard-profile","runs":${runs},"chunks":[\n${rows.join(',\n')}\n]}\n`;
}

/** A profile file, or the profile of a trace file. Throws TRACE_INVALID. */
export function parseProfileOrTrace(text: string): Profile {
  return text.startsWith('{"v":1,"format":"clipyard-profile"') ? parseProfile(text) : profileOf(parseTrace(text));
}

/** What a mount request carries: the digests, one behind the other. */
export function profileBytes({ chunks }: Profile): Buffer {
  return Buffer.concat(chunks.map((chunk) => Buffer.from(chunk.digest, 'base64url')));
}

/** So that a profile follows what changes, old runs count for less and less. */
function faded({ chunks, runs }: Profile): Profile {
  if (runs <= MAX_RUNS) return { chunks, runs };
  const halved = chunks.map((chunk) => ({ ...chunk, runs: Math.floor(chunk.runs / 2) }));
  return faded({ runs: Math.floor(runs / 2), chunks: halved.filter((chunk) => chunk.runs > 0) });
}

/** In the order to fetch; of too many the rarest and latest are left out. */
function bounded({ chunks, runs }: Profile): Profile {
  const isRare = (chunk: ProfiledChunk) => (chunk.runs * RARE < runs ? 1 : 0);
  const sorted = chunks.toSorted(
    (a, b) => isRare(a) - isRare(b) || a.order - b.order || b.runs - a.runs || (a.digest < b.digest ? -1 : 1),
  );
  return { runs, chunks: sorted.slice(0, MAX_PROFILE_CHUNKS) };
}
