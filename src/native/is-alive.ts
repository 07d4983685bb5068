import { readFileSync } from 'node:fs';

/** A zombie is dead: in a container PID 1 may not collect what was left to it (proc(5), field 3 of stat). */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}
