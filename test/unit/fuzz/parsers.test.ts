import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesSource, describe, listPath, nodeTree, openArchive } from '../../../src/archive/index.ts';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import { parseImageConfig } from '../../../src/oci/image-config.ts';
import { parseIndex, parseManifest } from '../../../src/oci/index.ts';
import { indexLayer } from '../../../src/portable/index.ts';
import { TarWalker } from '../../../src/portable/tar/tar-walker.ts';
import { parseChallenges } from '../../../src/registry/auth/challenge.ts';
import { loadCredentials, parseReference } from '../../../src/registry/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { sectionedArchive } from '../archive/sectioned.ts';
import { changed, changes, corpusOf, FUZZ_RUNS, onlyCoded, partsOf } from './mutations.ts';

const { signal } = new AbortController();
const stack = new AsyncDisposableStack();
let dir = '';
beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('fuzz')).path;
});
afterAll(() => stack.disposeAsync());

/** A failing property prints its seed and the changes it made; fast-check finds the fewest of them. */
async function holds(inputs: readonly Buffer[], parse: (bytes: Buffer) => unknown, runs = FUZZ_RUNS): Promise<void> {
  await fc.assert(
    fc.asyncProperty(changes, async (what) => onlyCoded(() => parse(changed(inputs, what)))),
    { numRuns: runs },
  );
}

async function readEverything(bytes: Buffer): Promise<void> {
  const archive = await openArchive(bytesSource(bytes), { signal });
  await onlyCoded(() => describe(archive, { signal }));
  await onlyCoded(async () => listPath(nodeTree(await archive.nodes({ signal })), '/' as never));
  await onlyCoded(() => archive.layers({ signal }));
  await onlyCoded(() => archive.documents({ signal }));
  await archive.verify({ signal });
}

test('a CLIP part of any writer is read or refused with a code', async () => {
  await holds(corpusOf('clip'), readEverything);
});

test('a whole archive is read or refused with a code', async () => {
  await holds([corpusOf('archive').reduce((most, each) => (each.length > most.length ? each : most))], readEverything);
});

test('sections under right digests are read or refused with a code', async () => {
  const inputs = corpusOf('archive').filter((input) => input.readUInt32LE(0) < input.length);
  await holds(inputs, (bytes) => {
    const [, config, layers, erofs, extra] = partsOf(bytes, 5);
    const section = (type: number, plain: Buffer | undefined) => ({
      type,
      plain: plain ?? Buffer.alloc(0),
      encoding: 0 as const,
    });
    return readEverything(
      sectionedArchive([section(5, config), section(2, layers), section(1, erofs), section(4, extra)]),
    );
  });
});

test('a footer that says anything is read or refused with a code', async () => {
  await holds(corpusOf('footer'), (bytes) =>
    readEverything(sectionedArchive([], (footer) => bytes.copy(footer, 0, 0, Math.min(bytes.length, 4064)))),
  );
});

const SMALL = { ...DEFAULT_LIMITS, maxEntries: 200, maxHeaderBytes: 16_384, maxSparseExtents: 500 };

test('a tar is walked or refused with a code, in whatever pieces it comes', async () => {
  const walk = async (tar: Buffer, step: number) => {
    const walker = new TarWalker(SMALL, 4096);
    let code = 'fine';
    await onlyCoded(() => {
      code = 'refused';
      for (let at = 0; at < tar.length; at += step) walker.feed(tar.subarray(at, at + step));
      walker.end();
      code = 'fine';
    });
    return code === 'fine' ? walker.entries : code;
  };
  await holds(corpusOf('tar'), async (bytes) => {
    const tar = signed(bytes);
    expect(await walk(tar, 97)).toEqual(await walk(tar, Math.max(tar.length, 1)));
  });
});

/** Right checksums, as far as the headers say where the next one is. */
function signed(bytes: Buffer): Buffer {
  for (let at = 0; at + 512 <= bytes.length; ) {
    const block = bytes.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) break;
    block.fill(' ', 148, 156);
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
    const size = Number.parseInt(block.toString('latin1', 124, 135).replaceAll(/[^0-7]/g, ''), 8) || 0;
    at += 512 + (/[1-6]/.test(String.fromCharCode(block[156] ?? 0)) ? 0 : Math.ceil(size / 512) * 512);
  }
  return bytes;
}

test.for(['gzip', 'zstd'] as const)('a %s blob is decoded or refused with a code', async (codec) => {
  const path = join(dir, codec);
  const limits = { ...SMALL, maxPlainBytes: 4 * 2 ** 20, maxWindowBytes: 2 ** 23 };
  const parse = async (bytes: Buffer) => {
    await writeFile(path, bytes);
    const mediaType = `application/vnd.oci.image.layer.v1.tar+${codec}`;
    const layer = await indexLayer({ path, mediaType }, { chunkBytes: 4096, limits, signal });
    const stored = layer.spans.reduce((sum, { storedBytes }) => sum + storedBytes, layer.firstSpan);
    expect(stored).toBeLessThanOrEqual(bytes.length);
  };
  await holds(corpusOf(codec), parse, FUZZ_RUNS / 2);
});

const digest = `sha256:${'ab'.repeat(32)}`;
const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 10 };
const DOCUMENTS = [
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor,
    layers: [descriptor],
  },
  {
    schemaVersion: 2,
    manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'amd64' }, annotations: { a: 'b' } }],
  },
  {
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['A=b'] },
    rootfs: { type: 'layers', diff_ids: [digest] },
    history: [{}],
  },
].map((document) => Buffer.from(JSON.stringify(document)));

test.for([
  ['manifest', parseManifest],
  ['index', parseIndex],
  ['image configuration', parseImageConfig],
] as const)('a %s is read or refused with a code', async ([, parse]) => {
  await holds(DOCUMENTS, (bytes) => parse(bytes));
});

test('references and challenges are read or refused with a code', async () => {
  const texts = [
    `registry.example:5000/a/b:tag@${digest}`,
    '[::1]:5000/x',
    'Bearer realm="https://auth.test/token",service="r",scope="repository:a/b:pull,push"',
    'Basic realm="x", Bearer realm=y',
  ].map((text) => Buffer.from(text));
  await holds(texts, (bytes) => parseReference(bytes.toString('latin1')));
  await holds(texts, (bytes) => parseChallenges(bytes.toString('latin1')));
});

test('a docker configuration is read or refused with a code', async () => {
  const folder = join(dir, 'docker');
  await mkdir(folder, { recursive: true });
  const auths = { 'r.example': { auth: Buffer.from('u:p').toString('base64') }, 'https://index.docker.io/v1/': {} };
  const config = Buffer.from(JSON.stringify({ auths, identitytoken: 'x', HttpHeaders: { a: 'b' } }));
  const parse = async (bytes: Buffer) => {
    await writeFile(join(folder, 'config.json'), bytes);
    const credentials = await loadCredentials({ DOCKER_CONFIG: folder, PATH: '' });
    await credentials.get('r.example', { signal });
  };
  await holds([config], parse, FUZZ_RUNS / 2);
});
