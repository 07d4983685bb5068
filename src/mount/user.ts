import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkerError } from '../errors/index.ts';

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The `User` of an image configuration as numbers: `name`, `uid`, `name:group`, `uid:gid`, … (OCI image-spec 1.1,
 * config.md, "User"), looked up in the image's own passwd and group files. Throws RUN_FAILED for a name it does not know.
 */
export async function resolveUser(user: string, rootfs: string): Promise<ResolvedUser> {
  if (user === '') return { uid: 0, gid: 0 };
  const [name = '', group] = user.split(':', 2);
  const passwd = await lines(join(rootfs, 'etc/passwd'));
  const entry = passwd.find((fields) => fields[0] === name || fields[2] === name);
  const uid = numberOf(name) ?? numberOf(entry?.[2]);
  if (uid === undefined) throw new WorkerError('RUN_FAILED', `the image has no user ${name} in /etc/passwd`);
  if (group === undefined) return { uid, gid: numberOf(entry?.[3]) ?? 0 };
  const groups = await lines(join(rootfs, 'etc/group'));
  const gid = numberOf(group) ?? numberOf(groups.find((fields) => fields[0] === group)?.[2]);
  if (gid === undefined) throw new WorkerError('RUN_FAILED', `the image has no group ${group} in /etc/group`);
  return { uid, gid };
}

async function lines(path: string): Promise<readonly (readonly string[])[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').map((line) => line.split(':'));
  } catch {
    return []; // an image may have no passwd file; numbers still work
  }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
