import { readFile } from 'node:fs/promises';

export interface MountEntry {
  readonly path: string;
  /** major:minor of the filesystem. */
  readonly device: string;
}

/** All mounts in the order they were made (proc(5), mountinfo, fields 3 and 5: blanks and backslashes as octal escapes). */
export async function mountTable(): Promise<readonly MountEntry[]> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  return mounts.split('\n').map((line) => {
    const fields = line.split(' ');
    const path = (fields[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return { path, device: fields[2] ?? '' };
  });
}

/** Whether the kernel has a mount at the path. */
export async function isMounted(path: string): Promise<boolean> {
  return (await mountTable()).some((entry) => entry.path === path);
}

/** Mount points below a folder, the last made first. */
export async function mountsBelow(directory: string): Promise<readonly string[]> {
  const paths = (await mountTable()).map(({ path }) => path);
  return paths.filter((path) => path.startsWith(`${directory}/`)).toReversed();
}
