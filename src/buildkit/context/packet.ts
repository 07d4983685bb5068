import { bytesOfPath } from './byte-path.ts';
import type { ContextEntry } from './entry.ts';

/**
 * Packets of fsutil (`types/wire.proto`), written by hand: names may be any bytes, which the generated code, made for
 * text, would damage, and a context of many small files is mostly packets.
 */
export const PACKET = { stat: 0, request: 1, data: 2, finished: 3, failed: 4 } as const;

export interface Packet {
  readonly type: number;
  readonly id: number;
  readonly data: Buffer;
}

const FIELD_TYPE = 0x08;
const FIELD_STAT = 0x12;
const FIELD_ID = 0x18;
const FIELD_DATA = 0x22;

/** A packet that announces an entry. */
export function statPacket(entry: ContextEntry): Buffer {
  const stat = statMessage(entry);
  return Buffer.concat([Buffer.from([FIELD_STAT, ...varint(stat.length)]), stat]);
}

/** The packet that ends the list of entries. */
export const END_OF_STATS = Buffer.alloc(0);

/** Bytes of the file with this number; without bytes: its end. The head goes out before `data`, which is not copied. */
export function dataPacketHead(id: number, lengthBytes: number): Buffer {
  return Buffer.from([
    FIELD_TYPE,
    PACKET.data,
    ...(id === 0 ? [] : [FIELD_ID, ...varint(id)]),
    ...(lengthBytes === 0 ? [] : [FIELD_DATA, ...varint(lengthBytes)]),
  ]);
}

export function finishedPacket(): Buffer {
  return Buffer.from([FIELD_TYPE, PACKET.finished]);
}

export function failedPacket(message: string): Buffer {
  const text = Buffer.from(message);
  return Buffer.concat([Buffer.from([FIELD_TYPE, PACKET.failed, FIELD_DATA, ...varint(text.length)]), text]);
}

function statMessage({ path, mode, sizeBytes, modifiedNs, linkName, device }: ContextEntry): Buffer {
  const name = bytesOfPath(path);
  const link = bytesOfPath(linkName ?? '');
  return Buffer.concat([
    bytesField(0x0a, name),
    numberField(0x10, mode),
    numberField(0x28, sizeBytes),
    Buffer.from(modifiedNs === 0n ? [] : [0x30, ...varint64(BigInt.asUintN(64, modifiedNs))]),
    bytesField(0x3a, link),
    numberField(0x40, device?.major ?? 0),
    numberField(0x48, device?.minor ?? 0),
  ]);
}

function bytesField(tag: number, bytes: Buffer): Buffer {
  return bytes.length === 0 ? bytes : Buffer.concat([Buffer.from([tag, ...varint(bytes.length)]), bytes]);
}

function numberField(tag: number, value: number): Buffer {
  return Buffer.from(value === 0 ? [] : [tag, ...varint(value)]);
}

/** By division, because sizes pass 32 bits. */
function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return out;
}

function varint64(value: bigint): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) + 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return out;
}
