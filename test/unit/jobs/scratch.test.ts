import { spawnSync } from 'node:child_process';
import { mkdir, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createScratch } from '../../../src/jobs/scratch.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('folders of dead processes are removed by the next indexing, others stay', async () => {
  await using state = await temporaryDirectory('scratch');
  const parent = join(state.path, 'tmp');
  const { pid: dead } = spawnSync('true');
  const id = '00000000-0000-4000-8000-000000000000';
  const names = { dead: `index-${dead}-${id}`, alive: `index-${process.ppid}-${id}`, other: `build-x` };
  const unowned = { young: `index-${id}`, old: 'index-11111111-0000-4000-8000-000000000000' };
  for (const name of [...Object.values(names), ...Object.values(unowned)])
    await mkdir(join(parent, name, 'pins'), { recursive: true });
  const then = new Date(Date.now() - 48 * 3600 * 1000);
  for (const name of [names.other, names.alive, unowned.old]) await utimes(join(parent, name), then, then);

  const mine = await createScratch(state.path);
  const next = await createScratch(state.path);
  const left = (await readdir(parent)).map((name) => join(parent, name)).sort();
  const stay = [names.alive, names.other, unowned.young].map((name) => join(parent, name));
  expect(left).toEqual([...stay, mine, next].sort());
});
