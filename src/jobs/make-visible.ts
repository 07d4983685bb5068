import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';
import type { BuildJournal } from './build-journal.ts';
import type { JobReporter } from './events.ts';
import { movePointer, type PointerContent, publicationOf, type ReadPointer, readPointer } from './publish.ts';

/** The manifest that a tag names. */
export interface TagTarget {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

export interface Visible {
  readonly target: Repository;
  /** undefined: whoever asked for the build sets tags of its own. */
  readonly tag: string | undefined;
  /** Of the pointer. */
  readonly key: string;
  /** `registry/repository:tag`, as the pointer names it. */
  readonly storageRef: string;
  /** The pointer as it was when the build began. */
  readonly before: ReadPointer | undefined;
  readonly content: PointerContent;
  readonly top: TagTarget;
}

export interface VisibleContext extends Cancelable {
  readonly client: RegistryClient;
  readonly store: ObjectStore;
  readonly report: JobReporter;
  readonly journal?: BuildJournal | undefined;
}

/** Other builds that may move the pointer while a tag is set; more in a row are no accident. */
const MAX_REPAIRS = 8;
/** For the pointer, and for a tag and its repairs. */
const VISIBLE_MS = 120_000;

/**
 * Pointer, then tag; everything they name is there. Says the generation. Throws FENCE_LOST when another build moved the
 * pointer, LEASE_LOST when the job is another's: the tag is then left alone. A build that is stopped in the middle for any other
 * reason is published whole: half of it would stay until the next build of the image.
 */
export async function makeVisible(visible: Visible, context: VisibleContext): Promise<number> {
  const { before, content, key, storageRef } = visible;
  const { journal, report, signal, store } = context;
  signal.throwIfAborted();
  const unbroken = AbortSignal.timeout(VISIBLE_MS);
  const { generation } = await movePointer(store, key, before, content, { signal: unbroken, jobId: journal?.jobId });
  report({ type: 'published', what: 'pointer', name: store.urlOf(key) });
  await journal?.write('pointed', { generation });
  await setTag(visible, context);
  if (visible.tag !== undefined) report({ type: 'published', what: 'tag', name: storageRef });
  await journal?.write('tagged', { generation });
  return generation;
}

/**
 * Makes the tag name what the pointer says. A registry takes a tag without a condition, so a process that slept between
 * pointer and tag could put an old one back: who has set a tag looks at the pointer again, and sets what that says now.
 */
export async function setTag(
  { key, storageRef, tag, target, top: first }: Pick<Visible, 'key' | 'storageRef' | 'tag' | 'target' | 'top'>,
  { client, signal, store }: Pick<VisibleContext, 'client' | 'signal' | 'store'>,
): Promise<void> {
  if (signal.aborted && isLost(signal.reason)) throw signal.reason;
  if (tag === undefined) return;
  // Once a tag may have gone out, looking again is owed, also by a worker that finds out just now that the job is another's.
  const unbroken = AbortSignal.timeout(VISIBLE_MS);
  let top = first;
  for (let repairs = 0; repairs < MAX_REPAIRS; repairs++) {
    await client.putManifest(target, tag, top.bytes, top.mediaType, { signal: unbroken });
    const now = await readPointer(store, key, { signal: unbroken });
    if (now === undefined || now.pointer.indexDigest === top.digest) return;
    // A build with another repository has a tag of its own.
    if (!Object.values(now.pointer.archives).some((archive) => archive.storageRef === storageRef)) return;
    const { bytes, mediaType } = await client.getManifest(target, now.pointer.indexDigest, { signal: unbroken });
    top = { digest: now.pointer.indexDigest, bytes, mediaType };
  }
}

/** The publication that an earlier attempt of the job made, undefined when there is none in sight. */
export async function publishedBefore(
  key: string,
  jobId: string,
  { signal, store }: Pick<VisibleContext, 'signal' | 'store'>,
): Promise<{ readonly generation: number; readonly indexDigest: Digest; readonly isCurrent: boolean } | undefined> {
  const now = await readPointer(store, key, { signal });
  const publication = now === undefined ? undefined : publicationOf(now.pointer, jobId);
  if (now === undefined || publication === undefined) return undefined;
  return { ...publication, isCurrent: publication.generation === now.pointer.generation };
}

function isLost(reason: unknown): reason is WorkerError {
  return reason instanceof WorkerError && reason.code === 'LEASE_LOST';
}

export function isFenceLost(thrown: unknown): boolean {
  return thrown instanceof WorkerError && thrown.code === 'FENCE_LOST';
}
