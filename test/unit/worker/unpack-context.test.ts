import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import { DEFAULT_INTAKE_LIMITS } from '../../../src/worker/index.ts';
import { unpackContext } from '../../../src/worker/intake/unpack-context.ts';
import { makeTar, type TarPart } from '../../support/make-tar.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let count = 0;

beforeAll(async () => {
  scratch = await temporaryDirectory('unpack');
});
afterAll(() => scratch[Symbol.asyncDispose]());

async function* inPieces(bytes: Uint8Array, pieceBytes = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes)
    yield await Promise.resolve(bytes.subarray(at, at + pieceBytes));
}

async function unpack(bytes: Uint8Array, limits = {}) {
  count += 1;
  const directory = join(scratch.path, `context${count}`);
  const signal = AbortSignal.timeout(20_000);
  const size = await unpackContext(inPieces(bytes), directory, {
    limits: { ...DEFAULT_INTAKE_LIMITS, ...limits },
    signal,
  });
  return { directory, size };
}

async function refusal(bytes: Uint8Array, limits = {}): Promise<WorkerError> {
  const thrown: unknown = await unpack(bytes, limits).catch((each: unknown) => each);
  if (!(thrown instanceof WorkerError)) throw new Error(`not refused: ${String(thrown)}`);
  expect(existsSync(join(scratch.path, `context${count}`))).toBe(false);
  return thrown;
}

const TREE: readonly TarPart[] = [
  { name: './', type: '5', mode: 0o755 },
  { name: './Dockerfile', data: 'FROM scratch\n' },
  { name: 'src/', type: '5', mode: 0o750, mtime: 1_600_000_000 },
  { name: 'src/run.sh', data: '#!/bin/sh\n', mode: 0o755, mtime: 1_500_000_000 },
  { name: 'src/again', type: '1', link: './src/run.sh' },
  { name: 'src/away', type: '2', link: '/etc/passwd' },
  { name: Buffer.from('caf\xe9', 'latin1'), data: 'latin' },
  { name: 'implied/parents/file', data: 'x' },
];

describe('what a tar holds is what the folder holds', () => {
  test.for<[name: string, pack: (bytes: Buffer) => Uint8Array]>([
    ['plain', (bytes) => bytes],
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])('%s: names, modes, times, links', async ([, pack]) => {
    const { directory, size } = await unpack(pack(makeTar(TREE)));
    expect(readFileSync(join(directory, 'Dockerfile'), 'utf8')).toBe('FROM scratch\n');
    const script = statSync(join(directory, 'src/run.sh'));
    expect([script.mode & 0o7777, script.mtimeMs / 1000, script.nlink]).toEqual([0o755, 1_500_000_000, 2]);
    const folder = statSync(join(directory, 'src'));
    expect([folder.mode & 0o7777, folder.mtimeMs / 1000]).toEqual([0o750, 1_600_000_000]);
    expect(readlinkSync(join(directory, 'src/away'))).toBe('/etc/passwd');
    expect(
      readdirSync(Buffer.from(directory), { encoding: 'buffer' }).map((name) => name.toString('latin1')),
    ).toContain('caf\xe9');
    expect(readFileSync(join(directory, 'implied/parents/file'), 'utf8')).toBe('x');
    expect(size).toEqual({ entries: 9, bytes: 13 + 10 + 5 + 1 });
  });

  test.for(['gnu', 'posix'])('files with holes as GNU tar writes them (%s)', async (format) => {
    const from = join(scratch.path, `sparse-${format}`);
    await mkdir(from);
    await writeFile(join(from, 'holes'), 'begin');
    await truncate(join(from, 'holes'), 3_000_000);
    const tar = execFileSync('tar', ['-S', '--format', format, '-C', from, '-cf', '-', 'holes']);
    expect(tar.length).toBeLessThan(100_000);
    const { directory } = await unpack(tar);
    expect(readFileSync(join(directory, 'holes')).equals(readFileSync(join(from, 'holes')))).toBe(true);
  });

  test('whatever names and contents there are, in every compression', async () => {
    const name = fc
      .array(
        fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f && byte !== 0x2e),
        { minLength: 1, maxLength: 12 },
      )
      .map((bytes) => Buffer.from(bytes).toString('latin1'));
    const files = fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 3000 })), {
      selector: ([each]) => each,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        files,
        fc.constantFrom((bytes: Buffer) => bytes, gzipSync, zstdCompressSync),
        async (parts, pack) => {
          const tar = makeTar(
            parts.map(([each, data]) => ({ name: Buffer.from(each, 'latin1'), data: Buffer.from(data) })),
          );
          const { directory } = await unpack(pack(tar));
          for (const [each, data] of parts) {
            const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(each, 'latin1')]);
            expect(readFileSync(path).equals(data)).toBe(true);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('what could do harm is refused, named, and leaves nothing', () => {
  const file = (name: string | Buffer): TarPart => ({ name, data: 'x' });
  test.for<[what: string, parts: readonly TarPart[], says: string]>([
    ['an absolute name', [file('/etc/cron.d/x')], '/etc/cron.d/x'],
    ['a name that leaves', [file('a/../../x')], 'a/../../x'],
    ['a name of dots alone', [file('..')], '..'],
    ['a name through a link', [{ name: 'out', type: '2', link: '/tmp' }, file('out/x')], 'out/x'],
    [
      'a folder in place of a link',
      [
        { name: 'out', type: '2', link: '/tmp' },
        { name: 'out', type: '5' },
      ],
      'out',
    ],
    ['a file in place of a link', [{ name: 'out', type: '2', link: '/tmp/x' }, file('out')], 'out'],
    ['a name inside a file', [file('a'), file('a/b')], 'a/b'],
    ['a character device', [{ name: 'null', type: '3' }], 'null'],
    ['a block device', [{ name: 'disk', type: '4' }], 'disk'],
    ['a pipe', [{ name: 'pipe', type: '6' }], 'pipe'],
    ['an unknown type', [{ name: 'volume', type: 'V' }], 'volume'],
    ['a hard link to what is outside', [{ name: 'x', type: '1', link: '../../etc/shadow' }], 'shadow'],
    ['an absolute hard link', [{ name: 'x', type: '1', link: '/etc/shadow' }], '/etc/shadow'],
    [
      'a hard link to a link',
      [
        { name: 'l', type: '2', link: '/etc/shadow' },
        { name: 'x', type: '1', link: 'l' },
      ],
      'x',
    ],
    ['a hard link to nothing', [{ name: 'x', type: '1', link: 'y' }], 'x'],
    ['a name twice', [file('a'), file('./a')], 'a'],
    ['the root as a file', [file('./')], 'root'],
    ['a link to nothing', [{ name: 'l', type: '2', link: '' }], 'l'],
    ['control characters are shown harmless', [file('/\u001b[31m')], '\\x1b[31m'],
  ])('%s', async ([, parts, says]) => {
    const { code, message } = await refusal(makeTar([{ name: 'good', data: 'x' }, ...parts]));
    expect(code).toBe('CONTEXT_INVALID');
    expect(message).toContain(says);
  });

  test.for<[what: string, parts: readonly TarPart[], limits: object]>([
    ['too many entries', Array.from({ length: 12 }, (_, at) => file(`f${at}`)), { maxEntries: 10 }],
    ['too many folders that nobody names', [file('a/b/c/d/e')], { maxEntries: 3 }],
    ['too deep', [file('a/b/c/d/e')], { maxDepth: 4 }],
    [
      'too much data',
      [
        { name: 'a', data: Buffer.alloc(600) },
        { name: 'b', data: Buffer.alloc(600) },
      ],
      { maxContextBytes: 1000 },
    ],
  ])('%s', async ([, parts, limits]) => {
    expect((await refusal(makeTar(parts), limits)).code).toBe('LIMIT_EXCEEDED');
  });

  test.for<[name: string, pack: (bytes: Buffer) => Uint8Array]>([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])('a bomb behind the end of the archive (%s)', async ([, pack]) => {
    const bomb = Buffer.concat([makeTar([file('a')]), Buffer.alloc(64 * 1024 * 1024)]);
    expect((await refusal(pack(bomb), { maxContextBytes: 1 << 20, maxEntries: 10 })).code).toBe('LIMIT_EXCEEDED');
  });

  test('a file that says it is larger than everything may be is refused before its data comes', async () => {
    const thrown = await refusal(makeTar([{ name: 'huge', size: 8 * 1024 ** 3 - 1 }]), { maxContextBytes: 1 << 30 });
    expect(thrown).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  test('any truncation and any flipped byte is a coded error or another tree, never a crash', async () => {
    const tar = makeTar(TREE);
    for (const packed of [tar, gzipSync(tar), zstdCompressSync(tar)]) {
      await fc.assert(
        fc.asyncProperty(fc.nat(packed.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
          const damaged = cut ? packed.subarray(0, at) : Buffer.from(packed);
          if (!cut) damaged[at] = byte;
          const outcome = await unpack(damaged).catch((thrown: unknown) => thrown);
          if (!(outcome instanceof WorkerError)) {
            expect(outcome).toHaveProperty('size');
            return;
          }
          expect(['CONTEXT_INVALID', 'LIMIT_EXCEEDED']).toContain(outcome.code);
          expect(existsSync(join(scratch.path, `context${count}`))).toBe(false);
        }),
        { numRuns: 60 },
      );
    }
  });

  test('something that is no tar at all', async () => {
    expect((await refusal(Buffer.alloc(2048, 'no tar'))).code).toBe('CONTEXT_INVALID');
    expect((await refusal(Buffer.from('short'))).code).toBe('CONTEXT_INVALID');
    expect(lstatSync(scratch.path).isDirectory()).toBe(true);
  });
});
