import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** What is mounted below a directory, in the order in which it was mounted. */
export function mountPointsBelow(directory: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescaped(line.split(' ')[4] ?? ''))
    .filter((point) => point.startsWith(`${directory}/`));
}

/** Lazily, as a step may outlive its daemon by a moment. What cannot be unmounted stays. */
export function unmountBelow(directory: string): void {
  for (const point of mountPointsBelow(directory).toReversed()) {
    try {
      execFileSync('umount', ['--lazy', point], { stdio: 'ignore' });
    } catch {
      // Gone with one above it, or not ours to unmount.
    }
  }
}

/**
 * Before a buildkitd starts: takes away what a killed one left mounted below its root (roots of steps) and in its folder of
 * temporary files (`TMPDIR`: mounts of layers), and empties that. Nothing while one runs there, as nobody else would know why its steps fail.
 */
export function clearKilledBuildkit(root: string, temporary: string): void {
  if (isRunning(root)) return;
  for (const directory of [root, temporary]) unmountBelow(directory);
  if (mountPointsBelow(temporary).length === 0) rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
}

/** The daemon keeps a lock that ends with it. */
function isRunning(root: string): boolean {
  const lock = join(root, 'buildkitd.lock');
  if (!existsSync(lock)) return false;
  try {
    execFileSync('flock', ['--nonblock', lock, 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
}

/** The kernel writes space, tab, newline and backslash of a path in octal. */
const unescaped = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
