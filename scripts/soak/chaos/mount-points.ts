import { readFile } from 'node:fs/promises';

/** What is mounted below a directory, in the order in which it was mounted. */
export async function mountPointsBelow(directory: string): Promise<readonly string[]> {
  const mountInfo = await readFile('/proc/self/mountinfo', 'utf8');
  return mountInfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`));
}
