import type { Cancelable } from '../../errors/index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import type { NotableFiles } from './notable-files.ts';

type Command = readonly [program: string, ...args: string[]];

/** A piece of work on a mounted tree, done by programs that cost the same on each. */
export interface Operation {
  readonly name: string;
  /** A line for people. */
  readonly title: string;
  /** The program, its arguments before the tree's root, which is the last. */
  readonly command: Command;
  /** The same work on a tree that has done it before, where once is too short to be measured; default: `command`. */
  readonly warmCommand?: Command;
  /** How often `warmCommand` does it; default: once, or it knows itself (`timesItself`). */
  readonly warmTimes?: number;
  /** Whether what it prints are its seconds, without those of its start. */
  readonly timesItself?: boolean;
  /** Whether it is the start of a program, which a mount may fetch ahead of by what it recorded of one before. */
  readonly isStart?: boolean;
  /** Proves on the counting run that all did the same work: prints what must be equal for all. */
  readonly proof?: Command;
}

export const OPERATIONS = ['walk', 'stat', 'read-all', 'sequential', 'random', 'far-file'] as const;
export type OperationName = (typeof OPERATIONS)[number];

const RANDOM_READS = 512;
const RANDOM_BYTES = 4096;
const SEQUENTIAL_BYTES = 1024 * 1024;
/** Warm, 512 reads take a millisecond. */
const WARM_TIMES = 16;
/** Warm, a walk takes some ten milliseconds, and starting the shell that does it several. */
const WARM_WALKS = 4;
/**
 * cat asks for a buffer of 128 KiB for each file. glibc maps one, has the kernel fill it with zeros and unmaps it again: two thirds of the time of
 * a warm run, whatever it reads from. So it is told to keep the buffer, as programs do that read many files (mallopt(3), both at their most).
 */
const CAT = 'MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=33554432 xargs -0 -r cat --';

/** Arguments: path, times, root. Prints the seconds of one time. Places from a fixed seed, so that all read the same. */
const reading = (setUp: string, read: string) => `
const [name, times, root] = process.argv.slice(1);
const { openSync, readSync, fstatSync } = require('node:fs');
const file = openSync(root + '/' + name, 'r');
const { size } = fstatSync(file);
${setUp}
const began = performance.now();
for (let time = 0; time < Number(times); time++) {${read}}
console.log((performance.now() - began) / 1000 / Number(times));
`;
const RANDOM = reading(
  `const blocks = Math.max(1, Math.floor(size / ${RANDOM_BYTES}));
const buffer = Buffer.alloc(${RANDOM_BYTES});`,
  `
  let state = 1;
  for (let count = 0; count < ${RANDOM_READS}; count++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    readSync(file, buffer, 0, ${RANDOM_BYTES}, Math.floor((state / 2 ** 32) * blocks) * ${RANDOM_BYTES});
  }
`,
);
const SEQUENTIAL = reading(
  `const buffer = Buffer.alloc(${SEQUENTIAL_BYTES});`,
  `
  for (let at = 0; at < size; at += ${SEQUENTIAL_BYTES}) readSync(file, buffer, 0, ${SEQUENTIAL_BYTES}, at);
`,
);

/** What every mount is asked to do. `execs` are a shell's command lines in the mounted tree. */
export function operationsOf({ far, largest }: NotableFiles, execs: readonly string[]): readonly Operation[] {
  const shell = (script: string, ...args: readonly string[]) => ['/bin/sh', '-ec', script, 'sh', ...args] as const;
  const walking = (script: string) => ({
    command: shell(script),
    warmCommand: shell(`for walk in $(seq ${WARM_WALKS}); do (${script}); done`),
    warmTimes: WARM_WALKS,
  });
  const onFiles = (then: string) => `cd "$1" && find . -xdev -type f -print0 | ${then}`;
  const inNode = (script: string, path: string) => ({
    command: [process.execPath, '-e', script, path, '1'] as const,
    warmCommand: [process.execPath, '-e', script, path, String(WARM_TIMES)] as const,
    timesItself: true,
  });
  const onTree: Readonly<Record<OperationName, Omit<Operation, 'name'>>> = {
    walk: {
      title: 'find -size: readdir and lstat of everything',
      ...walking('find "$1" -xdev -size +1024G'),
      proof: shell('cd "$1" && find . -xdev ! -type d -printf "%P %y %s %m %U %G\\n" | LC_ALL=C sort | sha256sum'),
    },
    stat: {
      title: 'stat of every file, by its full name',
      ...walking(onFiles('xargs -0 -r stat -c "%s %Y" -- >/dev/null')),
    },
    'read-all': {
      title: 'cat of every file',
      command: shell(onFiles(`${CAT} >/dev/null`)),
      proof: shell(onFiles(`LC_ALL=C sort -z | ${CAT} | sha256sum`)),
    },
    sequential: {
      title: `the largest file from front to back, ${largest.sizeBytes} bytes in reads of 1 MiB`,
      ...inNode(SEQUENTIAL, largest.path),
    },
    random: {
      title: `${RANDOM_READS} reads of 4 KiB all over the largest file`,
      ...inNode(RANDOM, largest.path),
    },
    'far-file': {
      title: `dd of up to 5 MiB of ${far.path}, at the end of the largest layer`,
      command: shell('exec dd if="$2/$1" of=/dev/null bs=1M count=5 status=none', far.path),
    },
  };
  return [
    ...OPERATIONS.map((name) => ({ name, ...onTree[name] })),
    ...execs.map((exec, at) => ({
      name: at === 0 ? 'exec' : `exec-${at + 1}`,
      title: `chroot, then ${exec}`,
      command: shell('exec chroot "$2" /bin/sh -c "$1" >/dev/null', exec),
      isStart: true,
    })),
  ];
}

/** Does an operation on a tree and gives its seconds. Throws BENCH_FAILED. */
export async function timeOf(
  { command, timesItself = false, warmCommand, warmTimes = 1 }: Operation,
  root: string,
  { signal, warm = false }: Cancelable & { readonly warm?: boolean },
): Promise<number> {
  const chosen = warm ? (warmCommand ?? command) : command;
  const times = warm ? warmTimes : 1;
  const { seconds, stdout } = await runMeasured({ command: [...chosen, root], probesMemory: false }, { signal });
  return timesItself ? Number(stdout) : seconds / times;
}

/** Where nothing else is asked for, so that mounts are measured: one look at the root. */
export const LOOK_AT_ROOT: Operation = {
  name: 'look',
  title: 'stat of the root',
  command: ['/bin/sh', '-ec', 'exec stat -c %i "$1" >/dev/null', 'sh'],
};
