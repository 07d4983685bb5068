import { readFile, stat } from 'node:fs/promises';
import { messageOf, WorkerError } from '../../errors/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { type Grant, parseGrants } from './grants.ts';

/**
 * The grants of a tokens file, as they are now: the file is looked at in every call and read again when it changed. One that
 * cannot be read leaves the last good ones in force. Throws CONFIG_INVALID at the start.
 */
export async function openGrantsFile(path: string, log: Log): Promise<() => Promise<readonly Grant[]>> {
  let seen = await versionOf(path);
  let grants = await read(path);
  return async () => {
    const now = await versionOf(path).catch((thrown: unknown) => `gone: ${messageOf(thrown)}`);
    if (now === seen) return grants;
    seen = now;
    try {
      grants = await read(path);
      log.info({ path, grants: grants.length }, 'tokens file read again');
    } catch (thrown) {
      log.error({ path, reason: messageOf(thrown) }, 'tokens file cannot be read, the last one stays in force');
    }
    return grants;
  };
}

async function versionOf(path: string): Promise<string> {
  const { ctimeNs, ino, mtimeNs, size } = await stat(path, { bigint: true }).catch((thrown: unknown) => {
    throw new WorkerError('CONFIG_INVALID', `tokens file ${path}: ${messageOf(thrown)}`, { path }, { cause: thrown });
  });
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

async function read(path: string): Promise<readonly Grant[]> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw new WorkerError('CONFIG_INVALID', `tokens file ${path}: ${messageOf(thrown)}`, { path }, { cause: thrown });
  });
  return parseGrants(text);
}
