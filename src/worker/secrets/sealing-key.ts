import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { writeFileAtomically } from '../../files/index.ts';
import { Sealer } from './sealer.ts';

const HEX = /^[0-9a-f]{64}\s*$/;

/**
 * The sealer of a worker: with the key it was given (64 hex digits; workers on one queue need the same one), or with one that
 * is made once and kept in the state directory, readable by its owner alone. Throws CONFIG_INVALID.
 */
export async function openSealer(
  { key, stateDir }: { readonly key?: string; readonly stateDir: string },
  { signal }: Cancelable,
): Promise<Sealer> {
  if (key !== undefined) return new Sealer(bytesOfKey(key, 'CLIPYARD_SECRET_KEY'));
  const path = join(stateDir, 'secret.key');
  const text = (await readKey(path)) ?? (await makeKey(path, { signal }));
  return new Sealer(bytesOfKey(text, path));
}

async function makeKey(path: string, { signal }: Cancelable): Promise<string> {
  const text = `${randomBytes(32).toString('hex')}\n`;
  try {
    await writeFileAtomically(path, text, { signal, mode: 0o600, exclusive: true });
    return text;
  } catch (thrown) {
    // Another worker of this machine was first.
    const made = systemCodeOf(thrown) === 'EEXIST' ? await readKey(path) : undefined;
    if (made === undefined) throw toWorkerError(thrown, `make the key ${path}`);
    return made;
  }
}

async function readKey(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw toWorkerError(thrown, `read the key ${path}`);
  }
}

function bytesOfKey(text: string, where: string): Buffer {
  if (!HEX.test(text)) throw new WorkerError('CONFIG_INVALID', `${where}: 64 lower-case hex digits are needed`);
  return Buffer.from(text.trim(), 'hex');
}
