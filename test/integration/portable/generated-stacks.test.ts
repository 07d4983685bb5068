import fc from 'fast-check';
import { expect, test } from 'vitest';
import { damaged, generatedStack, paxEntry, tarStream } from '../../support/corpus/index.ts';
import { writeStack } from '../../support/engines.ts';
import { requireAgreement } from '../../support/engines-agree.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const STACKS = 500;
const DAMAGED_STACKS = 250;

test('both engines make the same parts of archives of generated layers, or refuse them by the same code', async () => {
  let archives = 0;
  await fc.assert(
    fc.asyncProperty(generatedStack, async (stack) => {
      await using directory = await temporaryDirectory('engines');
      if ((await requireAgreement(await writeStack(directory.path, stack))) === 'archive') archives += 1;
    }),
    { numRuns: STACKS },
  );
  expect(archives).toBeGreaterThan(STACKS / 2);
}, 300_000);

test('both engines say the same of damaged headers and of blobs that are cut or changed', async () => {
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(damaged(generatedStack), async (stack) => {
      await using directory = await temporaryDirectory('engines');
      codes.add(await requireAgreement(await writeStack(directory.path, stack)));
    }),
    { numRuns: DAMAGED_STACKS },
  );
  expect([...codes]).toEqual(expect.arrayContaining(['archive', 'LAYER_CORRUPT', 'LAYER_TRUNCATED']));
}, 300_000);

test('a global header is an entry of its own, which ends what the headers before it said', async () => {
  const said = [paxEntry([['path', 'another']]), paxEntry([['comment', 'of all files']], 'g')];
  for (const parts of [said, [...said, { name: 'own', type: '0', data: 'x' }]]) {
    await using directory = await temporaryDirectory('engines');
    const tar = tarStream(parts);
    const layer = { tar, blob: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar' };
    const stack = { layers: [layer], config: {}, annotations: {}, chunkBytes: 4096 };
    expect(await requireAgreement(await writeStack(directory.path, stack))).toBe('archive');
  }
});
