import { readFileSync, writeFileSync } from 'node:fs';

/** CPU time as the kernel counts it; USER_HZ is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** A process and what it started, as far as it still runs. */
export function treeOf(pid: number): readonly number[] {
  const children = (readProc(pid, `task/${pid}/children`) ?? '').split(' ').filter((text) => text !== '');
  return [pid, ...children.flatMap((child) => treeOf(Number(child)))];
}

/** The most memory the process ever held (VmHWM); 0 when it is gone. */
export function peakBytesOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readProc(pid, 'status') ?? '')?.[1] ?? 0) * 1024;
}

/** User and system time of a process and of the children it waited for. */
export function cpuSecondsOf(pid: number): number {
  const stat = readProc(pid, 'stat') ?? '';
  // The name may hold anything; what follows its closing parenthesis starts with field 3 (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks / TICKS_PER_SECOND;
}

/** Bytes that read(2) and its kin gave the process and the children it waited for: files, pipes and sockets alike. */
export function readBytesOf(pid: number): number {
  return readCounter(readProc(pid, 'io') ?? '');
}

export function readCounter(io: string): number {
  return Number(/^rchar: (\d+)$/m.exec(io)?.[1] ?? 0);
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return undefined; // it ended meanwhile
  }
}

/** Lets the most memory be what the process holds now (proc(5), clear_refs 5). */
export function resetPeakOf(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // not ours to reset: the peak is then of its whole life
  }
}

/** The memory that the process holds now (VmRSS); 0 when it is gone. */
export function residentBytesOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readProc(pid, 'status') ?? '')?.[1] ?? 0) * 1024;
}
