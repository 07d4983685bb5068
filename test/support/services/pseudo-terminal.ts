import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');

/** What a person waits for, and then types. */
export type Step = readonly [waitFor: string, type: string];

export interface Session {
  readonly exitCode: number | null;
  /** Everything that stood on the screen, without control sequences. */
  readonly screen: string;
}

/** Runs `scripts/clipyard` at a pseudo-terminal (`script`, util-linux) and types when what is waited for stands there. */
export async function atTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  steps: readonly Step[],
): Promise<Session> {
  const quoted = [join(root, 'scripts/clipyard'), ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const child = spawn('script', ['-qec', `stty cols 200; ${quoted.join(' ')}`, '/dev/null'], {
    env: { ...process.env, ...env, SHELL: '/bin/sh', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = [...steps];
  let [screen, seen] = ['', 0];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk;
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const at = screen.indexOf(next[0], seen);
      if (at === -1) return;
      seen = at + next[0].length;
      child.stdin.write(next[1]);
      waiting.shift();
    }
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  if (waiting[0] !== undefined) throw new Error(`"${waiting[0][0]}" never stood on the screen:\n${screen}`);
  return { exitCode, screen: plain(screen) };
}

const CONTROL_SEQUENCE = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, 'g');

/** Without colours, cursor movements and carriage returns. */
function plain(screen: string): string {
  return screen.replaceAll(CONTROL_SEQUENCE, '').replaceAll('\r', '');
}
