import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesOfPath, pathOfBytes, textOfPath } from '../../../src/buildkit/context/byte-path.ts';
import { type ContextEntry, deviceOf, goMode, hasContent } from '../../../src/buildkit/context/entry.ts';
import {
  dataPacketHead,
  END_OF_STATS,
  failedPacket,
  finishedPacket,
  PACKET,
  statPacket,
} from '../../../src/buildkit/context/packet.ts';
import { Packet } from '../../../src/gen/github.com/tonistiigi/fsutil/types/wire.ts';

const entries: fc.Arbitrary<ContextEntry> = fc.record({
  path: fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => Buffer.from(text).toString('latin1')),
  mode: fc.nat({ max: 2 ** 32 - 1 }),
  sizeBytes: fc.maxSafeNat(),
  modifiedNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  linkName: fc
    .option(fc.string(), { nil: undefined })
    .map((text) => (text === undefined ? undefined : Buffer.from(text).toString('latin1'))),
  device: fc.option(fc.record({ major: fc.nat(4095), minor: fc.nat(1048575) }), { nil: undefined }),
});

describe('packets', () => {
  test('an announced entry is read back by the generated decoder', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const { type, stat } = Packet.decode(statPacket(entry));
        expect(type).toBe(PACKET.stat);
        expect(stat).toMatchObject({
          path: bytesOfPath(entry.path).toString(),
          mode: entry.mode,
          uid: 0,
          gid: 0,
          size: BigInt(entry.sizeBytes),
          modTime: entry.modifiedNs,
          linkname: bytesOfPath(entry.linkName ?? '').toString(),
          devmajor: BigInt(entry.device?.major ?? 0),
          devminor: BigInt(entry.device?.minor ?? 0),
        });
      }),
    );
  });

  test('data keeps its number and bytes', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 }), fc.uint8Array({ maxLength: 300 }), (id, bytes) => {
        const packet = Packet.decode(Buffer.concat([dataPacketHead(id, bytes.length), bytes]));
        expect(packet).toMatchObject({ type: PACKET.data, ID: id, stat: undefined });
        expect(packet.data.equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  test('the end of the list is a stat packet without a stat', () => {
    expect(Packet.decode(END_OF_STATS)).toMatchObject({ type: PACKET.stat, stat: undefined });
  });

  test('ends and failures say so', () => {
    expect(Packet.decode(finishedPacket()).type).toBe(PACKET.finished);
    const failed = Packet.decode(failedPacket('gone: ä'));
    expect([failed.type, failed.data.toString()]).toEqual([PACKET.failed, 'gone: ä']);
  });
});

describe('modes', () => {
  test.for<[name: string, stMode: number, goModeValue: number]>([
    ['a file', 0o100644, 0o644],
    ['a setuid file', 0o104755, 2 ** 23 + 0o755],
    ['a setgid file', 0o102755, 2 ** 22 + 0o755],
    ['a directory', 0o040755, 2 ** 31 + 0o755],
    ['a sticky directory', 0o041777, 2 ** 31 + 2 ** 20 + 0o777],
    ['a symbolic link', 0o120777, 2 ** 27 + 0o777],
    ['a fifo', 0o010600, 2 ** 25 + 0o600],
    ['a block device', 0o060660, 2 ** 26 + 0o660],
    ['a character device', 0o020666, 2 ** 26 + 2 ** 21 + 0o666],
    ['a socket, as a file', 0o140755, 0o755],
  ])('%s has the mode Go gives it', ([, stMode, expected]) => {
    expect(goMode(stMode)).toBe(expected);
  });

  test.for<[name: string, stMode: number, requestable: boolean]>([
    ['a setuid file', 0o104755, true],
    ['a directory', 0o040755, false],
    ['a symbolic link', 0o120777, false],
    ['a fifo', 0o010600, false],
    ['a character device', 0o020666, false],
  ])('bytes of %s may be asked for: %j', ([, stMode, requestable]) => {
    expect(hasContent({ mode: goMode(stMode) })).toBe(requestable);
  });

  test('device numbers split as the kernel joins them', () => {
    expect(deviceOf(0x0501n)).toEqual({ major: 5, minor: 1 });
    expect(deviceOf(0x1_0000_0801n & 0xffff_ffffn)).toEqual({ major: 8, minor: 1 });
    expect(deviceOf(0x0010_0800n)).toEqual({ major: 8, minor: 256 });
  });
});

describe('paths', () => {
  test('any bytes survive, and different bytes give different texts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (a, b) => {
        const [first, second] = [pathOfBytes(a), pathOfBytes(b)];
        expect(bytesOfPath(first).equals(Buffer.from(a))).toBe(true);
        expect(textOfPath(first) === textOfPath(second)).toBe(Buffer.from(a).equals(Buffer.from(b)));
      }),
    );
  });

  test('UTF-8 reads as text', () => {
    expect(textOfPath(pathOfBytes(Buffer.from('é/日本')))).toBe('é/日本');
  });
});
