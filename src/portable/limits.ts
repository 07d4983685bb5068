/** What a layer may cost; beyond a limit is LIMIT_EXCEEDED. Names and defaults are those of the native engine. */
export interface Limits {
  /** Entries of one layer. */
  readonly maxEntries: number;
  /** Bytes of one whole path or link target. Linux takes 4095. */
  readonly maxPathBytes: number;
  /** Bytes of one PAX header, GNU long name or sparse map. Go's reader takes 1 MiB. */
  readonly maxHeaderBytes: number;
  /** Stretches of data in one sparse file. */
  readonly maxSparseExtents: number;
  /** Logical size of one file. ext4 takes 16 TiB. */
  readonly maxFileBytes: number;
  /** Bytes of one extended attribute's value: what the metadata image takes. */
  readonly maxXattrBytes: number;
  /** Extended attributes of one entry, names and values together. */
  readonly maxXattrsBytes: number;
  /** Data of sparse files off block boundaries, which a metadata image would have to copy. */
  readonly maxRelocatedBytes: number;
  /** Plain bytes of one layer. */
  readonly maxPlainBytes: number;
  /** Plain bytes for one stored byte, once a layer has given `ratioFreeBytes`. */
  readonly maxRatio: number;
  /** Plain bytes before the ratio counts: a layer of zeros is no attack. */
  readonly ratioFreeBytes: number;
  /** Spans (frames or members with content) of one blob. */
  readonly maxSpans: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxEntries: 10_000_000,
  maxPathBytes: 4095,
  maxHeaderBytes: 2 ** 20,
  maxSparseExtents: 2 ** 17,
  maxFileBytes: 2 ** 44,
  maxXattrBytes: 65_535,
  maxXattrsBytes: 128 * 1024,
  maxRelocatedBytes: 32 * 2 ** 20,
  maxPlainBytes: 2 ** 40,
  maxRatio: 5000,
  ratioFreeBytes: 2 ** 30,
  maxSpans: 2 ** 22,
};
