import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { lockFile, makeDirectory } from '../files/index.ts';

/**
 * Folders of lower layers can be renamed (they get a redirect), and a file whose mode changes is copied whole, so that
 * `upper` can be read by itself. Without an index: that would tie `upper` to one mount of the image, not to the image.
 */
const OPTIONS = 'redirect_dir=on,metacopy=off,index=off';

/** Whoever holds the lock is about to mount, which takes milliseconds. */
const LOCK_WAIT_MS = 10_000;

export interface Overlay {
  /** The read-only image mount. */
  readonly lower: string;
  /** Holds `upper` with the changes and the kernel's `work`; made where missing. */
  readonly writable: string;
  readonly target: string;
}

/**
 * Puts a writable overlay over an image mount. Throws UPPER_IN_USE while another overlay writes to the same folder,
 * PRIVILEGE_REQUIRED without root, OVERLAY_REFUSED with the kernel's words.
 */
export async function mountOverlay({ lower, target, writable }: Overlay, { signal }: Cancelable): Promise<void> {
  const [upper, work] = [join(writable, 'upper'), join(writable, 'work')];
  try {
    await Promise.all([upper, work].map((directory) => makeDirectory(directory)));
  } catch (thrown) {
    throw toWorkerError(thrown, `make a place for the changes in ${writable}`);
  }
  // The kernel takes a second overlay over the same folder and only logs that what happens is undefined.
  await using _lock = await lockFile(join(writable, '.clipyard.lock'), {
    signal,
    waitMs: LOCK_WAIT_MS,
    code: 'UPPER_IN_USE',
  });
  await assertFree(await realpath(upper));
  const directories = `lowerdir=${option(lower)},upperdir=${option(upper)},workdir=${option(work)}`;
  try {
    await mountTool('mount', ['-t', 'overlay', 'overlay', '-o', `${directories},${OPTIONS}`, target]);
  } catch (thrown) {
    const said = wordsOf(thrown);
    if (process.getuid?.() !== 0 || /permission denied|only root|superuser/i.test(said))
      throw new WorkerError('PRIVILEGE_REQUIRED', `a writable mount needs root: ${said}`, {}, { cause: thrown });
    throw new WorkerError(
      'OVERLAY_REFUSED',
      `the kernel puts no overlay with ${upper} over ${lower}: ${said}`,
      { upper },
      { cause: thrown },
    );
  }
}

/** Throws MOUNT_BUSY while a process uses the overlay. */
export async function unmountOverlay(target: string): Promise<void> {
  try {
    await mountTool('umount', [target]);
  } catch (thrown) {
    const said = wordsOf(thrown);
    throw new WorkerError(
      said.includes('busy') ? 'MOUNT_BUSY' : 'MOUNT_FAILED',
      `the overlay at ${target} cannot be taken away: ${said}`,
      { mountpoint: target },
      { cause: thrown },
    );
  }
}

async function assertFree(upper: string): Promise<void> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const user = mounts.split('\n').find((line) => upperOf(line) === upper);
  if (user !== undefined)
    throw new WorkerError('UPPER_IN_USE', `${upper} is written to by the overlay at ${user.split(' ')[4] ?? ''}`, {
      upper,
    });
}

/** `upperdir` of an overlay in a line of mountinfo (proc(5)): the last field, blanks in octal, commas after a backslash. */
export function upperOf(line: string): string | undefined {
  const [, after] = line.split(' - ');
  const [type, , options = ''] = after?.split(' ') ?? [];
  if (type !== 'overlay') return undefined;
  const found = /(?:^|,)upperdir=((?:\\[0-7]{3}|\\.|[^,\\])*)/.exec(options)?.[1];
  // mountinfo escapes the backslash of an escaped comma once more, as \134.
  return found
    ?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    .replaceAll(/\\(.)/g, '$1');
}

/** A path inside an overlay option: `,`, `:` and `\` would end it. */
function option(path: string): string {
  return path.replaceAll(/[\\,:]/g, (char) => `\\${char}`);
}

async function mountTool(program: 'mount' | 'umount', args: readonly string[]): Promise<void> {
  await promisify(execFile)(program, args, { env: { ...process.env, LC_ALL: 'C' } });
}

function wordsOf(thrown: unknown): string {
  const { message, stderr } = thrown as { readonly message: string; readonly stderr?: string };
  return stderr === undefined || stderr.trim() === '' ? message : stderr.trim();
}
