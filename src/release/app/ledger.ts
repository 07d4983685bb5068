import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import { type ObjectStore, readJson } from '../../objects/index.ts';
import type { Repository } from '../../registry/index.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');

const HolderSchema = z.object({
  id: z.string(),
  host: z.string(),
  pid: z.number().int(),
  /** Of the process, in the kernel's own count: another process with the pid has another. */
  startedAt: z.string(),
  /** Milliseconds since 1970: nothing is written under the lock after it. */
  untilMs: z.number(),
});
/** Who writes tags of a repository right now. */
export type Holder = z.infer<typeof HolderSchema>;

const RecordedSchema = z.object({
  digest,
  /** `begun`: tags are being written; `done`: the version is released and is this image for ever. */
  state: z.enum(['begun', 'done']),
  /** ISO 8601. */
  at: z.string(),
});

/** All that is known of a repository's releases beside the registry: one object of the store, changed with conditions. */
export const LedgerSchema = z.object({
  v: z.literal(1),
  releases: z.record(z.string(), RecordedSchema),
  lock: HolderSchema.optional(),
});
export type LedgerContent = z.infer<typeof LedgerSchema>;

export interface ReadLedger {
  readonly etag: string | undefined;
  readonly content: LedgerContent;
}

/** Where the ledger lies. Throws STORE_CONFLICT from `write` when it is no longer what was read. */
export interface LedgerPort {
  read(options: Cancelable): Promise<ReadLedger>;
  write(content: LedgerContent, before: string | undefined, options: Cancelable): Promise<void>;
}

export const EMPTY_LEDGER: LedgerContent = { v: 1, releases: {} };
/** A release is about 200 bytes. */
const MAX_LEDGER_BYTES = 8 << 20;

/** No part of a repository's name begins with `_`, so that no key is the folder of another. */
export function ledgerKey({ registry, repository }: Repository): string {
  return `releases/${registry}/${repository}/_ledger.json`;
}

export function storeLedger(store: ObjectStore, repository: Repository): LedgerPort {
  const key = ledgerKey(repository);
  return {
    async read({ signal }) {
      const parse = (value: unknown) => LedgerSchema.parse(value);
      const found = await readJson(store, key, { maxBytes: MAX_LEDGER_BYTES, parse, signal, what: 'release ledger' });
      return found ?? { etag: undefined, content: EMPTY_LEDGER };
    },
    async write(content, before, { signal }) {
      await store.put(key, `${JSON.stringify(content)}\n`, {
        ...(before === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: before }),
        contentType: 'application/json',
        signal,
      });
    },
  };
}

/** The versions that were released as this image, or nearly: a release that died may have moved latest before. */
export function versionsOf({ releases }: LedgerContent, image: Digest): readonly string[] {
  return Object.entries(releases).flatMap(([version, { digest: released }]) => (released === image ? [version] : []));
}
