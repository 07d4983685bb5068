import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A shell script in the place of somebody else's program: it replays what the real one wrote, or misbehaves. */
export async function fakeProgram(directory: string, name: string, script: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}
