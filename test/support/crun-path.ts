import { chmod, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

const UNIFIED = '/sys/fs/cgroup/unified';

/**
 * A PATH on which crun starts. It refuses hybrid cgroups with controllers in v2; there a crun of ours goes first, which runs
 * the real one in a mount namespace without the v2 hierarchy.
 */
export async function pathWithCrun(directory: string): Promise<string> {
  const path = process.env['PATH'] ?? '';
  const controllers = await readFile(join(UNIFIED, 'cgroup.controllers'), 'utf8').catch(() => '');
  if (controllers.trim() === '') return path;
  const script = `#!/bin/sh\nexec unshare -m sh -c 'umount ${UNIFIED} && PATH=\${PATH#*:} && exec crun "$@"' crun "$@"\n`;
  await writeFile(join(directory, 'crun'), script);
  await chmod(join(directory, 'crun'), 0o755);
  return [directory, path].join(delimiter);
}
