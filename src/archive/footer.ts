import { createHash } from 'node:crypto';
import { type Digest, digestOf, digestOfHex } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import { corrupt, truncated } from './failure.ts';

/** Sections and the footer start at multiples of this. */
export const ALIGNMENT = 4096;
export const FOOTER_BYTES = 4096;
const MAGIC = Buffer.from('CLIPYARD', 'latin1');
const MAJOR = 1;
const DIGEST_OFFSET = 4064;
const RECORDS_OFFSET = 64;
const RECORD_BYTES = 64;
const MAX_SECTIONS = 60;
const CRITICAL = 1;

const SECTION_TYPES = { 1: 'erofs', 2: 'layers', 3: 'seek', 4: 'extra', 5: 'config' } as const;
export type SectionName = (typeof SECTION_TYPES)[keyof typeof SECTION_TYPES];
const SECTION_VERSION = 1;

/** Where a section is and how to check it (docs/formats/archive.md, "Section record"). */
export interface SectionRecord {
  /** Undefined for a type or version that this reader does not know and may pass over. */
  readonly name: SectionName | undefined;
  readonly type: number;
  readonly version: number;
  readonly critical: boolean;
  readonly encoding: 'plain' | 'zstd';
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  /** sha256 of the stored bytes. */
  readonly digest: Digest;
}

export interface Footer {
  readonly major: number;
  readonly minor: number;
  readonly clipBytes: number;
  readonly sizeBytes: number;
  readonly clipDigest: Digest;
  readonly sections: readonly SectionRecord[];
  /** sha256 of the whole footer: names the archive, since all digests are under it. */
  readonly digest: Digest;
}

/** Whether the last bytes of a file say that a footer is meant. */
export function looksLikeFooter(bytes: Buffer): boolean {
  return bytes.length === FOOTER_BYTES && bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/** Throws ARCHIVE_CORRUPT, ARCHIVE_TRUNCATED, FORMAT_TOO_NEW. `sizeBytes` is that of the whole file. */
export function parseFooter(bytes: Buffer, sizeBytes: number): Footer {
  // A file that was cut has other bytes here; one that has its whole length behind the magic was damaged.
  if (!looksLikeFooter(bytes) && !(bytes.length === FOOTER_BYTES && bytes.readBigUInt64LE(24) === BigInt(sizeBytes))) {
    throw truncated('there is no footer at its end', { sizeBytes });
  }
  const digest = createHash('sha256').update(bytes.subarray(0, DIGEST_OFFSET)).digest();
  if (!looksLikeFooter(bytes) || !digest.equals(bytes.subarray(DIGEST_OFFSET)))
    throw corrupt('the footer does not have its digest');
  const [major, minor] = [bytes.readUInt16LE(8), bytes.readUInt16LE(10)];
  if (major !== MAJOR)
    throw new WorkerError('FORMAT_TOO_NEW', `archive format ${major}.${minor} is not known`, { major, minor });
  const footer = {
    major,
    minor,
    clipBytes: readU64(bytes, 16),
    sizeBytes: readU64(bytes, 24),
    clipDigest: digestAt(bytes, 32),
    sections: parseRecords(bytes),
    digest: digestOf(bytes),
  };
  if (footer.sizeBytes > sizeBytes) throw truncated(`${sizeBytes} bytes of ${footer.sizeBytes}`);
  if (footer.sizeBytes !== sizeBytes)
    throw corrupt(`the footer speaks of ${footer.sizeBytes} bytes, the file has ${sizeBytes}`);
  requireOrder(footer);
  return footer;
}

/** The next multiple of the alignment. */
export function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

function parseRecords(bytes: Buffer): readonly SectionRecord[] {
  const count = bytes.readUInt32LE(12);
  if (count < 1 || count > MAX_SECTIONS) throw corrupt(`${count} sections`);
  const end = RECORDS_OFFSET + count * RECORD_BYTES;
  if (bytes.subarray(end, DIGEST_OFFSET).some((byte) => byte !== 0))
    throw corrupt('the unused part of the footer is not zero');
  return Array.from({ length: count }, (_, at) =>
    parseRecord(bytes.subarray(RECORDS_OFFSET + at * RECORD_BYTES, RECORDS_OFFSET + (at + 1) * RECORD_BYTES)),
  );
}

function parseRecord(bytes: Buffer): SectionRecord {
  const [type, version, flags, encoding] = [0, 2, 4, 6].map((offset) => bytes.readUInt16LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  const critical = (flags & CRITICAL) !== 0;
  const known = version === SECTION_VERSION && flags <= CRITICAL && encoding <= 1;
  const name = known && type in SECTION_TYPES ? SECTION_TYPES[type as keyof typeof SECTION_TYPES] : undefined;
  if (name === undefined && critical) {
    throw new WorkerError(
      'FORMAT_TOO_NEW',
      `section ${type} in version ${version} (encoding ${encoding}) is needed and not known`,
      { type, version },
    );
  }
  const record = {
    name,
    type,
    version,
    critical,
    encoding: encoding === 0 ? ('plain' as const) : ('zstd' as const),
    offset: readU64(bytes, 8),
    storedBytes: readU64(bytes, 16),
    plainBytes: readU64(bytes, 24),
    digest: digestAt(bytes, 32),
  };
  if (name !== undefined && encoding === 0 && record.plainBytes !== record.storedBytes)
    throw corrupt(`section ${name} has two lengths`);
  return record;
}

/** Sections stand behind each other, each at the next multiple of the alignment, the footer behind the last. */
function requireOrder({ clipBytes, sizeBytes, sections }: Footer): void {
  let offset = aligned(clipBytes);
  for (const section of sections) {
    if (section.offset !== offset)
      throw corrupt(`section ${section.type} is at ${section.offset} instead of ${offset}`);
    offset = aligned(section.offset + section.storedBytes);
  }
  if (offset + FOOTER_BYTES !== sizeBytes)
    throw corrupt(`the sections end at ${offset}, the footer starts at ${sizeBytes - FOOTER_BYTES}`);
  if (new Set(sections.map(({ type }) => type)).size !== sections.length) throw corrupt('a section is there twice');
}

function readU64(bytes: Buffer, offset: number): number {
  const value = bytes.readBigUInt64LE(offset);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`a length or position of ${value}`);
  return Number(value);
}

function digestAt(bytes: Buffer, offset: number): Digest {
  return digestOfHex(bytes.toString('hex', offset, offset + 32));
}
