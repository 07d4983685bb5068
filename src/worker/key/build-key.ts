import { createHash } from 'node:crypto';
import type { SourceRule } from '../../buildkit/index.ts';
import type { Compression } from '../../indexer/index.ts';

/** Everything that a build's outcome depends on, each part in one form only. */
export interface KeyParts {
  readonly workspaceId: string;
  readonly imageId: string;
  /** `host/repository` that is pushed to. */
  readonly repository: string;
  /** `sha256:…` of an upload, a commit with its address, an object with its etag, or a Dockerfile. */
  readonly context: string;
  readonly subdirectory: string | undefined;
  readonly namedContexts: Readonly<Record<string, string>>;
  /** Path in the context. */
  readonly dockerfile: string | undefined;
  readonly target: string | undefined;
  readonly platforms: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Versions by id: never values. */
  readonly secrets: Readonly<Record<string, string>>;
  /** A set. */
  readonly ssh: readonly string[];
  readonly network: string;
  readonly noCache: boolean;
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  /** A set. */
  readonly attest: readonly string[];
  readonly compression: Compression;
  readonly archiveFormat: string;
  readonly alsoAs: string | undefined;
  readonly hermetic: boolean;
  /** Digests by reference. */
  readonly pinned: Readonly<Record<string, string>>;
  /** In rank, the pins among them. */
  readonly sourcePolicy: readonly SourceRule[];
}

/** Raised when a part is added or means something else: older results are then no answers. */
const VERSION = 1;

/** 64 hex digits; equal for builds of one workspace that have the same outcome. The order of maps and sets does not count. */
export function buildKey({ attest, ssh, ...parts }: KeyParts): string {
  const document = { version: VERSION, ...parts, attest: attest.toSorted(), ssh: ssh.toSorted() };
  return createHash('sha256')
    .update(JSON.stringify(canonical(document)))
    .digest('hex');
}

/** Lists stay lists, what is absent is null, and maps become lists of pairs in the order of their names. */
function canonical(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) return ['list', ...value.map(canonical)];
  const pairs = Object.entries(value).map(([name, each]) => [name, canonical(each)] as const);
  return ['map', ...pairs.toSorted(([a], [b]) => (a < b ? -1 : 1))];
}
