import type { ByteString } from '../archive/index.ts';

/** What one tar entry says, after headers are merged and names cleaned. Whiteouts are ordinary entries here. */
export interface Entry {
  /** Relative to the root, without leading or trailing `/`; empty for the root itself. */
  readonly path: ByteString;
  readonly kind: EntryKind;
  readonly attributes: Attributes;
}

export type EntryKind =
  | { readonly type: 'directory' | 'fifo' }
  | FileKind
  | { readonly type: 'hardlink'; readonly target: ByteString }
  | { readonly type: 'symlink'; readonly target: ByteString }
  | DeviceKind;

export interface FileKind {
  readonly type: 'file';
  readonly sizeBytes: number;
  /** Where its data starts in the plain tar; undefined for a file with holes, which does not lie there in one piece. */
  readonly offset: number | undefined;
}

export interface DeviceKind {
  readonly type: 'character' | 'block';
  readonly major: number;
  readonly minor: number;
}

export interface Attributes {
  /** Permission bits with setuid, setgid and sticky. */
  readonly permissions: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
}

/** Seconds since 1970 over all 64 bits, rounded down, and nanoseconds. */
export interface Time {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** What was left out of a layer on purpose, counted (docs/semantics.md, "How layers are merged"). */
export interface LayerWarnings {
  droppedOverlayXattrs: number;
  droppedHostXattrs: number;
  droppedUnsupportedXattrs: number;
  ignoredGlobalHeaders: number;
}
