import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

export interface ControlGroup extends AsyncDisposable {
  /** As seen from the root of the hierarchy: `/name`. */
  readonly name: string;
}

/** A control group whose processes together have no more memory than this; gone when it is disposed. Needs root. */
export async function memoryGroup(bytes: number): Promise<ControlGroup> {
  const name = `clipyard-test-${randomUUID()}`;
  const isUnified = existsSync(join(ROOT, 'cgroup.controllers'));
  if (isUnified) await writeFile(join(ROOT, 'cgroup.subtree_control'), '+memory');
  const path = isUnified ? join(ROOT, name) : join(ROOT, 'memory', name);
  await mkdir(path);
  await writeFile(join(path, isUnified ? 'memory.max' : 'memory.limit_in_bytes'), String(bytes));
  return {
    name: `/${name}`,
    async [Symbol.asyncDispose]() {
      // The other hierarchies of cgroups v1 got one from runc.
      for (const parent of isUnified ? [''] : await readdir(ROOT)) await removeTree(join(ROOT, parent, name));
    },
  };
}

/** The files of a group cannot be removed, and go with it. */
async function removeTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  await rmdir(path).catch((thrown: unknown) => {
    if (existsSync(path)) throw thrown;
  });
}
