import { createHash } from 'node:crypto';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { CLIP_HEADER_BYTES, type ClipHeader, hasClipyardMark, parseClipHeader } from './clip-header.ts';
import { type ClipNode, decodeClipNodes } from './clip-node.ts';
import { type ImageDocuments, parseConfigSection } from './config-section.ts';
import { corrupt } from './failure.ts';
import { aligned, FOOTER_BYTES, type Footer, looksLikeFooter, parseFooter, type SectionName } from './footer.ts';
import { type LayerRecord, parseLayersSection } from './layers-section.ts';
import { requirePlaces } from './places.ts';
import type { RangeSource } from './range-source.ts';
import { readSection, readVerified, requireDigest, requireZeros } from './section.ts';
import { type ArchiveStorage, decodeStorageInfo } from './storage-info.ts';

/**
 * `clipyard`: a CLIP archive with our sections. `clip`: a CLIP index of an image at a registry. `clip-v1`: a CLIP
 * archive that holds file bytes, or the index of one that lies in S3 (`.rclip`).
 */
export type ArchiveKind = 'clipyard' | 'clip' | 'clip-v1';

/** An archive whose frame has been read and checked; a part is read, and its digest checked, when it is asked for. */
export interface Archive {
  readonly kind: ArchiveKind;
  readonly sizeBytes: number;
  readonly header: ClipHeader;
  /** Of `clipyard` archives only. */
  readonly footer: Footer | undefined;
  /** Where the file bytes are. */
  storage(options: Cancelable): Promise<ArchiveStorage>;
  /** The node list in stored order. */
  nodes(options: Cancelable): Promise<readonly ClipNode[]>;
  /** The plain bytes of a section; undefined when the archive has none. */
  section(name: SectionName, options: Cancelable): Promise<Buffer | undefined>;
  /** The devices of the metadata image. Throws ARCHIVE_NOT_LAZY for archives without sections. */
  layers(options: Cancelable): Promise<readonly LayerRecord[]>;
  /** Throws ARCHIVE_NOT_LAZY for archives without sections. */
  documents(options: Cancelable): Promise<ImageDocuments>;
  /** Reads everything: every digest and every padding is right, every part decodes. */
  verify(options: Cancelable): Promise<void>;
}

/**
 * Reads the frame of an archive. Throws ARCHIVE_NOT_CLIP, ARCHIVE_TRUNCATED, ARCHIVE_CORRUPT, FORMAT_TOO_NEW. A plain
 * CLIP archive has no digests: damage in it shows only where its structure breaks.
 */
export async function openArchive(source: RangeSource, { signal }: Cancelable): Promise<Archive> {
  const { sizeBytes } = source;
  const header = parseClipHeader(await source.read(0, Math.min(sizeBytes, CLIP_HEADER_BYTES), { signal }), sizeBytes);
  const tail =
    sizeBytes < FOOTER_BYTES ? Buffer.alloc(0) : await source.read(sizeBytes - FOOTER_BYTES, FOOTER_BYTES, { signal });
  if (!hasClipyardMark(header)) {
    if (looksLikeFooter(tail)) throw corrupt('there is a footer and the header does not promise one');
    return plainArchive(source, header, { signal });
  }
  const footer = parseFooter(tail, sizeBytes);
  const clipEnd = Math.max(header.indexOffset + header.indexBytes, header.storageOffset + header.storageBytes);
  if (clipEnd !== footer.clipBytes) throw corrupt(`the CLIP part ends at ${clipEnd} and should at ${footer.clipBytes}`);
  return new SectionedArchive(source, header, footer);
}

async function plainArchive(source: RangeSource, header: ClipHeader, { signal }: Cancelable): Promise<Archive> {
  const storage = decodeStorageInfo(
    header.storageBytes === 0
      ? Buffer.alloc(0)
      : await source.read(header.storageOffset, header.storageBytes, { signal }),
  );
  const nodes = async (options: Cancelable) =>
    decodeClipNodes(await source.read(header.indexOffset, header.indexBytes, options));
  const refuse = () => Promise.reject(notLazy());
  return {
    kind: storage.type === 'oci' ? 'clip' : 'clip-v1',
    sizeBytes: source.sizeBytes,
    header,
    footer: undefined,
    storage: () => Promise.resolve(storage),
    nodes,
    section: () => Promise.resolve(undefined),
    layers: refuse,
    documents: refuse,
    verify: async (options) => {
      await nodes(options);
    },
  };
}

/** What a command says that needs sections and got an archive without. */
export function notLazy(): WorkerError {
  return new WorkerError(
    'ARCHIVE_NOT_LAZY',
    'a plain CLIP archive has no sections: make it again with `clipyard index`',
  );
}

/** Whether there is a metadata image; the portable engine makes archives without. */
export function isMountable({ sections }: Footer): boolean {
  return sections.some(({ name }) => name === 'erofs');
}

/** Throws ARCHIVE_NOT_LAZY for an archive that the portable engine made. */
export function requireMountable(footer: Footer): void {
  if (isMountable(footer)) return;
  throw new WorkerError(
    'ARCHIVE_NOT_LAZY',
    'the archive has no metadata image, because the portable engine made it: to mount it, make it again with `clipyard index --engine native`',
  );
}

class SectionedArchive implements Archive {
  readonly kind = 'clipyard';
  readonly header: ClipHeader;
  readonly footer: Footer;
  readonly #source: RangeSource;
  /** Kept once it is checked: storage info and node list share a digest. */
  #clipPart: Buffer | undefined;

  constructor(source: RangeSource, header: ClipHeader, footer: Footer) {
    this.#source = source;
    this.header = header;
    this.footer = footer;
  }

  get sizeBytes(): number {
    return this.#source.sizeBytes;
  }

  async storage(options: Cancelable): Promise<ArchiveStorage> {
    const storage = decodeStorageInfo(await this.#clip(this.header.storageOffset, this.header.storageBytes, options));
    if (storage.type !== 'oci') throw corrupt(`storage type ${storage.type} in an archive with sections`);
    return storage;
  }

  async nodes(options: Cancelable): Promise<readonly ClipNode[]> {
    return decodeClipNodes(await this.#clip(this.header.indexOffset, this.header.indexBytes, options));
  }

  async section(name: SectionName, options: Cancelable): Promise<Buffer | undefined> {
    const record = this.footer.sections.find((section) => section.name === name);
    return record && (await readSection(this.#source, record, options));
  }

  async layers(options: Cancelable): Promise<readonly LayerRecord[]> {
    return parseLayersSection(await this.#required('layers', options));
  }

  async documents(options: Cancelable): Promise<ImageDocuments> {
    return parseConfigSection(await this.#required('config', options));
  }

  async verify(options: Cancelable): Promise<void> {
    await this.storage(options);
    await this.nodes(options);
    const { clipBytes, sections } = this.footer;
    await requireZeros(this.#source, { offset: clipBytes, length: aligned(clipBytes) - clipBytes }, options);
    for (const section of sections) {
      for await (const _piece of readVerified(this.#source, section, options)) options.signal.throwIfAborted();
    }
    await this.layers(options);
    await this.documents(options);
    if (isMountable(this.footer)) await this.#required('erofs', options);
    else requirePlaces(await this.nodes(options), await this.layers(options));
  }

  async #clip(offset: number, length: number, options: Cancelable): Promise<Buffer> {
    const { clipBytes, clipDigest } = this.footer;
    const bytes = this.#clipPart ?? (await this.#source.read(0, clipBytes, options));
    if (this.#clipPart === undefined)
      requireDigest('the CLIP part', createHash('sha256').update(bytes).digest('hex'), clipDigest);
    this.#clipPart = bytes;
    return bytes.subarray(offset, offset + length);
  }

  async #required(name: SectionName, options: Cancelable): Promise<Buffer> {
    const bytes = await this.section(name, options);
    if (bytes === undefined) throw corrupt(`there is no section ${name}`);
    return bytes;
  }
}
