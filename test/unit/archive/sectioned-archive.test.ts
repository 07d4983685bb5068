import { expect, describe as group, test } from 'vitest';
import { bytesSource, describe, formatStorageReference, openArchive } from '../../../src/archive/index.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { configSection, LAYER, layersSection, sectionedArchive, sha256, smallArchive } from './sectioned.ts';

const { signal } = new AbortController();
const open = (bytes: Buffer) => openArchive(bytesSource(bytes), { signal });

/** The code of what opening and reading everything ends with; undefined when it ends well. */
async function outcome(bytes: Buffer): Promise<string | undefined> {
  try {
    await (await open(bytes)).verify({ signal });
    return undefined;
  } catch (thrown) {
    if (thrown instanceof WorkerError) return thrown.code;
    throw thrown;
  }
}

group('an archive with sections', () => {
  test('gives its parts', async () => {
    const archive = await open(smallArchive());
    expect(archive.kind).toBe('clipyard');
    await archive.verify({ signal });
    const [layer] = await archive.layers({ signal });
    expect(layer).toMatchObject({
      codec: 'zstd',
      kind: 'layer',
      plainBytes: 8292,
      blobBytes: 150,
      chunkLengths: [4096, 4096, 100],
      mediaType: LAYER.mediaType,
    });
    const documents = await archive.documents({ signal });
    expect([documents.config.toString(), documents.manifest.toString()]).toEqual(['{"c":1}', '{"m":1}']);
    expect(documents.storage).toEqual({ registry: '127.0.0.1:5000', repository: 'a/b', digest: digestOf('{"m":1}') });
    expect((await archive.section('extra', { signal }))?.toString()).toBe('extra data');
    expect(await archive.section('seek', { signal })).toBeUndefined();
  });

  test('is described with header, reference, layers, sections and counts', async () => {
    const description = await describe(await open(smallArchive()), { signal });
    expect(description).toMatchObject({
      kind: 'clipyard',
      storageType: 'oci',
      format: { major: 1, minor: 0 },
      counts: { entries: 2, directories: 1, files: 1, symlinks: 0, devices: 0, fifos: 0, fileBytes: 5 },
      layers: [{ codec: 'zstd', chunks: 3, spans: 3, seekable: true }],
      sections: [
        { name: 'config', critical: false },
        { name: 'extra', encoding: 'plain' },
        { name: 'layers' },
        { name: 'erofs', critical: true, plainBytes: 1024 },
      ],
    });
    expect(description.storageRef).toBe(formatStorageReference(description.storageReference!));
    expect(() => JSON.stringify(description)).not.toThrow();
  });

  test('ends with a coded error wherever it is cut', async () => {
    const bytes = smallArchive();
    const codes = new Set<string | undefined>();
    for (let length = 0; length < bytes.length; length += 1) codes.add(await outcome(bytes.subarray(0, length)));
    expect([...codes].sort()).toEqual(['ARCHIVE_NOT_CLIP', 'ARCHIVE_TRUNCATED']);
    expect(await outcome(bytes.subarray(0, 0))).toBe('ARCHIVE_NOT_CLIP');
    expect(await outcome(bytes.subarray(0, 1))).toBe('ARCHIVE_TRUNCATED');
  });

  test('ends with a coded error whichever byte has a bit flipped', async () => {
    const bytes = smallArchive();
    for (let at = 0; at < bytes.length; at += 1) {
      if (bytes[at] === 0 && at % 16 !== 3) continue; // padding is checked as one: a part of it stands for all
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      expect(await outcome(flipped), `byte ${at}`).toBeDefined();
    }
  });

  test('ends with a coded error for every single bit of header and footer', async () => {
    const bytes = smallArchive();
    const places = [
      ...Array(54).keys(),
      ...Array.from({ length: 320 }, (_, at) => bytes.length - 4096 + at),
      ...Array.from({ length: 32 }, (_, at) => bytes.length - 32 + at),
    ];
    for (const at of places) {
      for (let bit = 0; bit < 8; bit += 1) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= 1 << bit;
        expect(await outcome(flipped), `byte ${at} bit ${bit}`).toBeDefined();
      }
    }
  });

  test('with bytes behind the footer is refused', async () => {
    expect(await outcome(Buffer.concat([smallArchive(), Buffer.alloc(4096)]))).toBe('ARCHIVE_TRUNCATED');
  });
});

group('what a footer may say', () => {
  const required = [
    { type: 5, plain: configSection('{}', '{}') },
    { type: 2, plain: layersSection([LAYER]) },
    { type: 1, plain: Buffer.from('erofs') },
  ];

  test('a section of several zstd frames is read to its end, and one that is cut between two frames is not', async () => {
    const plain = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));
    const framed = { type: 77, plain, flags: 0, frameBytes: 300 };
    await (await open(sectionedArchive([framed, ...required]))).verify({ signal });
    const image = { type: 1, plain, frameBytes: 300 };
    const archive = await open(sectionedArchive([...required.slice(0, -1), image]));
    expect(await archive.section('erofs', { signal })).toEqual(plain);
    for (const length of [-300, -100, 1]) {
      const changed = sectionedArchive([...required.slice(0, -1), image], (footer) => {
        const field = 64 + (required.length - 1) * 64 + 24;
        footer.writeBigUInt64LE(BigInt(plain.length + length), field);
      });
      expect(await outcome(changed), `${length}`).toBe('ARCHIVE_CORRUPT');
    }
  });

  test('an unknown section that is not critical is passed over', async () => {
    const archive = await open(sectionedArchive([{ type: 77, plain: Buffer.from('later'), flags: 0 }, ...required]));
    await archive.verify({ signal });
    expect((await describe(archive, { signal })).sections[0]).toMatchObject({ name: 'type 77' });
  });

  test.for([
    ['an unknown critical section', { type: 77, plain: Buffer.from('x'), flags: 1 }],
    ['a known critical section in a later version', { type: 4, plain: Buffer.from('x'), version: 2 }],
  ] as const)('%s is FORMAT_TOO_NEW', async ([, section]) => {
    expect(await outcome(sectionedArchive([section, ...required]))).toBe('FORMAT_TOO_NEW');
  });

  test('another major version is FORMAT_TOO_NEW, another minor is read', async () => {
    expect(await outcome(smallArchive((footer) => footer.writeUInt16LE(2, 8)))).toBe('FORMAT_TOO_NEW');
    expect(await outcome(smallArchive((footer) => footer.writeUInt16LE(9, 10)))).toBeUndefined();
  });

  test.for<[string, (footer: Buffer) => void]>([
    ['a section count beyond the records', (footer) => footer.writeUInt32LE(61, 12)],
    ['no sections', (footer) => footer.writeUInt32LE(0, 12)],
    ['a gap between sections', (footer) => footer.writeBigUInt64LE(footer.readBigUInt64LE(136) + 4096n, 136)],
    ['sections that overlap', (footer) => footer.writeBigUInt64LE(4096n, 136)],
    ['a length beyond safe integers', (footer) => footer.writeBigUInt64LE(2n ** 60n, 80)],
    ['another CLIP length', (footer) => footer.writeBigUInt64LE(1n, 16)],
    ['one section twice', (footer) => footer.writeUInt16LE(2, 64 + 3 * 64)],
    ['bytes in the unused part', (footer) => footer.writeUInt8(1, 4000)],
    ['a plain length that the frame does not have', (footer) => footer.writeBigUInt64LE(1023n, 64 + 3 * 64 + 24)],
  ])('%s is ARCHIVE_CORRUPT', async ([, change]) => {
    expect(await outcome(smallArchive(change))).toBe('ARCHIVE_CORRUPT');
  });

  test('a section that claims gigabytes is LIMIT_EXCEEDED before anything is reserved', async () => {
    expect(await outcome(smallArchive((footer) => footer.writeBigUInt64LE(2n ** 40n, 64 + 3 * 64 + 24)))).toBe(
      'LIMIT_EXCEEDED',
    );
  });
});

test.for<[string, Buffer]>([
  ['a reference to another manifest', configSection('{}', '{}', `127.0.0.1:5000/a/b@${digestOf('x')}`)],
  ['a reference with a tag', configSection('{}', '{}', '127.0.0.1:5000/a/b:latest')],
  ['no repository', configSection('{}', '{}', `127.0.0.1:5000@${digestOf('{}')}`)],
  ['bytes behind it', Buffer.concat([configSection('{}', '{}'), Buffer.alloc(1)])],
  ['its end missing', configSection('{}', '{}').subarray(0, -1)],
])('a section config with %s is ARCHIVE_CORRUPT', async ([, config]) => {
  expect(
    await outcome(
      sectionedArchive([
        { type: 5, plain: config },
        { type: 2, plain: layersSection([LAYER]) },
        { type: 1, plain: Buffer.from('e') },
      ]),
    ),
  ).toBe('ARCHIVE_CORRUPT');
});

group('the section layers', () => {
  const outcomeOf = async (layers: Buffer): Promise<string | undefined> =>
    outcome(
      sectionedArchive([
        { type: 5, plain: configSection('{}', '{}') },
        { type: 2, plain: layers },
        { type: 1, plain: Buffer.from('e') },
      ]),
    );

  test('keeps seek points, the extra device and a first span behind the start', async () => {
    const layers = [
      { ...LAYER, seek: true, firstSpan: 10 },
      { ...LAYER, seed: 'extra', kind: 1, mediaType: 'x' },
    ];
    const archive = await open(
      sectionedArchive([
        { type: 2, plain: layersSection(layers) },
        { type: 1, plain: Buffer.from('e') },
      ]),
    );
    const [foreign, extra] = await archive.layers({ signal });
    expect(foreign).toMatchObject({
      firstSpan: 10,
      blobBytes: 160,
      seek: [{ bits: 0, windowOffset: 0 }, { bits: 1, windowOffset: 100, windowStoredBytes: 100 }, { bits: 2 }],
    });
    expect(foreign!.seek![1]!.windowDigest).toEqual(sha256(Buffer.from([1])));
    expect(extra).toMatchObject({ kind: 'extra', seek: undefined });
    expect(foreign!.chunkTableDigest).not.toBe(extra!.chunkTableDigest);
  });

  test.for<[string, Buffer]>([
    ['chunks that do not add up', layersSection([{ ...LAYER, spans: [[60, 4096]] }])],
    ['a chunk longer than chunkBytes', layersSection([{ ...LAYER, chunkLengths: [8292], spans: [[1, 8292]] }])],
    ['an empty chunk', layersSection([{ ...LAYER, chunkLengths: [4096, 0], spans: [[1, 4096]] }])],
    [
      'extra that is not last',
      layersSection([
        { ...LAYER, kind: 1 },
        { ...LAYER, seed: 'b' },
      ]),
    ],
    ['a diffID twice', layersSection([LAYER, LAYER])],
    ['an unknown kind', layersSection([{ ...LAYER, kind: 2 }])],
    ['bytes behind it', Buffer.concat([layersSection([LAYER]), Buffer.alloc(8)])],
    ['a count without records', Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])],
  ])('with %s is ARCHIVE_CORRUPT', async ([, layers]) => {
    expect(await outcomeOf(layers)).toBe('ARCHIVE_CORRUPT');
  });

  test('cut anywhere is ARCHIVE_CORRUPT', async () => {
    const layers = layersSection([{ ...LAYER, seek: true }]);
    for (let length = 0; length < layers.length; length += 1)
      expect(await outcomeOf(layers.subarray(0, length)), `${length}`).toBe('ARCHIVE_CORRUPT');
  });
});
