import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildJson, commandJson, runCommand, startCommand } from '../support/command-line.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { copyFromStore } from '../support/store-copy.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PHASES = ['preparing', 'building', 'landing', 'packing', 'pushing', 'archiving', 'publishing'] as const;

test.for(PHASES)('kill -9 in phase %s, then the same command again: it ends well', async (phase) => {
  await using scratch = await temporaryDirectory('kill');
  const imageId = `kill_${phase}_${process.pid}`;
  // Fresh random content, so that neither BuildKit nor the pack cache has anything of it.
  const context = await smallContext(join(scratch.path, 'context'), randomBytes(8_000_000).toString('base64'));
  const target = `${serviceSetting('CLIPYARD_REGISTRY')}/kill/${imageId}`;
  const args = [
    '--context',
    context,
    '--workspace',
    'kill',
    '--image-id',
    imageId,
    '--registry',
    target,
    '--build-arg',
    `BUST=${imageId}`,
  ];

  const command = startCommand(['--json', 'build', ...args]);
  await command.sawLine(new RegExp(`"event":"phase".*"phase":"${phase}","state":"started"`));
  command.child.kill('SIGKILL');
  const killed = await command.result;
  expect(killed.exitCode).not.toBe(0);

  // What is visible is complete: a tag or a pointer only with everything behind it.
  const seen = await runCommand(['--json', 'run', `kill/${imageId}`, '--', '/bin/true']);
  expect([0, 66]).toContain(seen.exitCode);

  const result = await buildJson(args);
  expect(result.layers.length).toBe(4);
  const output = await runCommand(['run', `kill/${imageId}`, '--', '/bin/sh', '-c', 'wc -c < /data/copy']);
  expect(output).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^10\d{6}\n$/) as string });
  expect(
    await commandJson([
      'verify',
      '--deep',
      await copyFromStore(result.archives[0]?.uri ?? '', join(scratch.path, 'archive.clip')),
    ]),
  ).toMatchObject({ ok: true });
  const state = serviceSetting('CLIPYARD_STATE');
  expect((await readdir(join(state, 'tmp'))).filter((name) => name.includes(imageId))).toEqual([]);
});
