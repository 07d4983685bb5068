import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Holder } from './ledger.ts';

/** This process as a holder of locks, under a new id. */
export async function thisHolder(): Promise<Omit<Holder, 'untilMs'>> {
  return { id: randomUUID(), host: hostname(), pid: process.pid, startedAt: (await startOf(process.pid)) ?? '' };
}

/** Whether the holder is a process of this machine that has ended. Of another machine nothing is known: its time must pass. */
export async function hasEnded({ host, pid, startedAt }: Holder): Promise<boolean> {
  return host === hostname() && (await startOf(pid)) !== startedAt;
}

/** Field 22 of /proc/PID/stat (proc(5)): ticks from boot to the start of the process. undefined when there is none. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
