import { type ByteString, byteStringOfBytes } from '../../archive/index.ts';
import { corrupt } from '../failure.ts';
import { headerNumber, octal } from './numbers.ts';

export const BLOCK_BYTES = 512;

/** Which family of tar wrote a header, by its magic. */
export type Flavour = 'v7' | 'ustar' | 'star' | 'gnu';

/** What the fixed fields of a header block say. Field rules follow Go's `archive/tar`, on which engines are built. */
export interface TarHeader {
  /** The type flag as a character; NUL is the old one for files. */
  readonly type: string;
  readonly flavour: Flavour;
  readonly name: ByteString;
  readonly link: ByteString;
  readonly size: bigint;
  readonly mode: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly mtime: bigint;
  readonly major: bigint;
  readonly minor: bigint;
}

/** Throws LAYER_CORRUPT when the block is no header. */
export function parseHeader(block: Buffer): TarHeader {
  requireChecksum(block);
  const flavour = flavourOf(block);
  const number = (offset: number, length: number): bigint => headerNumber(block.subarray(offset, offset + length));
  const text = (offset: number, length: number): ByteString => textOf(block.subarray(offset, offset + length));
  if (flavour === 'star') for (const offset of [476, 488]) number(offset, 12);
  const prefix = prefixOf(block, flavour);
  const name = text(0, 100);
  const old = flavour === 'v7';
  return {
    type: block.toString('latin1', 156, 157),
    flavour,
    name: prefix === '' ? name : (`${prefix}/${name}` as ByteString),
    link: text(157, 100),
    size: number(124, 12),
    mode: number(100, 8),
    uid: number(108, 8),
    gid: number(116, 8),
    mtime: number(136, 12),
    major: old ? 0n : number(329, 8),
    minor: old ? 0n : number(337, 8),
  };
}

/** Up to the first NUL, or the whole field. */
export function textOf(field: Buffer): ByteString {
  const end = field.indexOf(0);
  return byteStringOfBytes(end === -1 ? field : field.subarray(0, end));
}

/** The sum of the block with spaces in its own place, of bytes with or without sign: old writers differ. */
function requireChecksum(block: Buffer): void {
  const stored = octal(block.subarray(148, 156));
  let [unsigned, signed] = [0, 0];
  block.forEach((byte, at) => {
    const counted = at >= 148 && at < 156 ? 0x20 : byte;
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted;
  });
  if (stored !== BigInt(unsigned) && stored !== BigInt(signed)) throw corrupt('the checksum of a header is wrong');
}

function flavourOf(block: Buffer): Flavour {
  const magic = block.toString('latin1', 257, 265);
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar\0')) return 'v7';
  return block.toString('latin1', 508, 512) === 'tar\0' ? 'star' : 'ustar';
}

function prefixOf(block: Buffer, flavour: Flavour): ByteString {
  switch (flavour) {
    case 'v7':
      return '' as ByteString;
    case 'ustar':
      return textOf(block.subarray(345, 500));
    case 'star':
      return textOf(block.subarray(345, 476));
    case 'gnu':
      return gnuPrefix(block);
  }
}

/** GNU headers have times there; Go before 1.8 wrote a prefix all the same, which shows by times that are no numbers. */
function gnuPrefix(block: Buffer): ByteString {
  const prefix = textOf(block.subarray(345, 500));
  const broken = [345, 357].some((offset) => block[offset] !== 0 && !isNumber(block.subarray(offset, offset + 12)));
  return broken && /^[\0-\x7f]*$/.test(prefix) ? prefix : ('' as ByteString);
}

function isNumber(field: Buffer): boolean {
  try {
    headerNumber(field);
    return true;
  } catch {
    return false;
  }
}
