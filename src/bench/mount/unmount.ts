import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors/index.ts';
import { runMeasured } from '../measure/run-measured.ts';

const TIMEOUT_MS = 30_000;
const POLL_MS = 10;

/** Takes a mount out of the tree, also when the benchmark was stopped, and waits until the process that served it has ended. */
export async function unmount(root: string, pid: number | undefined): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  if (await isMountPoint(root)) await runMeasured({ command: ['umount', root] }, { signal });
  while (pid !== undefined && existsSync(`/proc/${pid}`)) {
    if (signal.aborted)
      throw new WorkerError('BENCH_FAILED', `process ${pid} still serves ${root}, which is unmounted`);
    await sleep(POLL_MS);
  }
}

/** Field 5 of proc_pid_mountinfo(5); a benchmark's own folders have no characters that it escapes. */
async function isMountPoint(root: string): Promise<boolean> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table.split('\n').some((line) => line.split(' ')[4] === root);
}
