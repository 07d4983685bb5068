import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Digest, verify } from '../../digest/index.ts';
import { type Cancelable, type ErrorCode, systemCodeOf, toWorkerError } from '../../errors/index.ts';
import type { Descriptor } from '../descriptor.ts';
import { type BlobReader, walkReachable } from './reachable.ts';

export interface LayoutProblem {
  readonly descriptor: Descriptor;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface LayoutReport {
  /** Blobs that are there and right. */
  readonly blobs: number;
  readonly bytes: number;
  /** Blobs that are not there and need not be: the registry has them. */
  readonly absent: readonly Descriptor[];
  readonly problems: readonly LayoutProblem[];
}

interface Layout extends BlobReader {
  blobPath(digest: Digest): string;
}

/** Reads every blob that index.json leads to and checks existence, size and digest. */
export async function verifyLayout(layout: Layout, { signal }: Cancelable): Promise<LayoutReport> {
  const absent: Descriptor[] = [];
  const problems: LayoutProblem[] = [];
  let blobs = 0;
  let bytes = 0;
  for await (const { descriptor, mayBeAbsent, broken } of walkReachable(layout, { signal })) {
    const there = await exists(layout.blobPath(descriptor.digest));
    if (!there && mayBeAbsent) {
      absent.push(descriptor);
      continue;
    }
    const problem = broken ?? (await problemOf(layout, descriptor, there, { signal }));
    if (problem !== undefined) problems.push({ descriptor, code: problem.code, message: problem.message });
    else {
      blobs++;
      bytes += descriptor.size;
    }
  }
  return { blobs, bytes, absent, problems };
}

type Problem = Pick<LayoutProblem, 'code' | 'message'>;

async function problemOf(
  layout: Layout,
  { digest, size }: Descriptor,
  there: boolean,
  { signal }: Cancelable,
): Promise<Problem | undefined> {
  if (!there) return { code: 'BLOB_MISSING', message: `blob ${digest} is not there` };
  try {
    const nowhere = new Writable({
      write: (_chunk, _encoding, done) => {
        done();
      },
    });
    await pipeline(
      createReadStream(layout.blobPath(digest), { highWaterMark: 1024 * 1024 }),
      verify({ digest, sizeBytes: size }),
      nowhere,
      { signal },
    );
    return undefined;
  } catch (thrown) {
    signal.throwIfAborted();
    return toWorkerError(thrown, `read blob ${digest}`);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return false;
    throw thrown;
  }
}
