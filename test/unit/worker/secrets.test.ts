import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openSealer, Sealer } from '../../../src/worker/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const owner = { workspaceId: 'team', id: 'token' };
const signal = AbortSignal.timeout(20_000);
const refused = expect.objectContaining({ code: 'SECRET_NOT_FOUND' }) as Error;

test('what was sealed opens for the same owner with the same key, and for nobody else', () => {
  const sealer = new Sealer(Buffer.alloc(32, 1));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (value) => {
      const sealed = sealer.seal(owner, value);
      expect(sealer.open(owner, sealed).equals(value)).toBe(true);
      expect(sealer.seal(owner, value)).not.toBe(sealed);
      expect(() => sealer.open({ ...owner, workspaceId: 'other' }, sealed)).toThrow(refused);
      expect(() => sealer.open({ ...owner, id: 'other' }, sealed)).toThrow(refused);
      expect(() => new Sealer(Buffer.alloc(32, 2)).open(owner, sealed)).toThrow(refused);
    }),
  );
});

test('any change of a sealed value is seen', () => {
  const sealer = new Sealer(Buffer.alloc(32, 1));
  const sealed = Buffer.from(sealer.seal(owner, Buffer.from('hunter2')), 'base64');
  expect(sealed.includes('hunter2')).toBe(false);
  for (let at = 0; at < sealed.length; at += 1) {
    const damaged = Buffer.from(sealed);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    expect(() => sealer.open(owner, damaged.toString('base64'))).toThrow(refused);
    expect(() => sealer.open(owner, sealed.subarray(0, at).toString('base64'))).toThrow(refused);
  }
});

test('a worker makes its key once, for its owner alone, and workers of one machine share it', async () => {
  await using directory = await temporaryDirectory('key');
  const stateDir = directory.path;
  const sealers = await Promise.all(Array.from({ length: 8 }, () => openSealer({ stateDir }, { signal })));
  const sealed = sealers[0]?.seal(owner, Buffer.from('x')) ?? '';
  for (const each of sealers) expect(each.open(owner, sealed).toString()).toBe('x');
  expect(statSync(join(stateDir, 'secret.key')).mode & 0o777).toBe(0o600);
});

test('a key that is none is CONFIG_INVALID', async () => {
  await using directory = await temporaryDirectory('key');
  const stateDir = directory.path;
  await expect(openSealer({ stateDir, key: 'short' }, { signal })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  writeFileSync(join(stateDir, 'secret.key'), 'torn');
  chmodSync(join(stateDir, 'secret.key'), 0o600);
  await expect(openSealer({ stateDir }, { signal })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
