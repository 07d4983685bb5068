import type { NotableFiles } from './notable-files.ts';

/** A piece of work on a mounted tree, done by programs that cost the same on each. */
export interface Operation {
  readonly name: string;
  /** A line for people. */
  readonly title: string;
  /** The program, its arguments before the tree's root, which is the last. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Whether what it prints are its seconds, without those of its start. */
  readonly timesItself?: boolean;
  /** Proves on the counting run that all did the same work: prints what must be equal for all. */
  readonly proof?: readonly [program: string, ...args: string[]];
}

const RANDOM_READS = 512;
const RANDOM_BYTES = 4096;

/** $0: path, last argument: root. Places from a fixed seed, so that all read the same. */
const RANDOM = `
const [name, root] = process.argv.slice(1);
const { openSync, readSync, fstatSync } = require('node:fs');
const file = openSync(root + '/' + name, 'r');
const blocks = Math.max(1, Math.floor(fstatSync(file).size / ${RANDOM_BYTES}));
const buffer = Buffer.alloc(${RANDOM_BYTES});
let state = 1;
const began = performance.now();
for (let count = 0; count < ${RANDOM_READS}; count++) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  readSync(file, buffer, 0, ${RANDOM_BYTES}, Math.floor((state / 2 ** 32) * blocks) * ${RANDOM_BYTES});
}
console.log((performance.now() - began) / 1000);
`;

/** What every mount is asked to do. `exec` is a shell's command line in the mounted tree. */
export function operationsOf({ far, largest }: NotableFiles, exec: string | undefined): readonly Operation[] {
  const shell = (script: string, ...args: readonly string[]) => ['/bin/sh', '-ec', script, 'sh', ...args] as const;
  const onFiles = (then: string) => `cd "$1" && find . -xdev -type f -print0 | ${then}`;
  return [
    {
      name: 'walk',
      title: 'find -printf: readdir and lstat of everything',
      command: shell('find "$1" -xdev -printf "%s %m %U %G %T@\\n" >/dev/null'),
      proof: shell('cd "$1" && find . -xdev ! -type d -printf "%P %y %s %m %U %G\\n" | LC_ALL=C sort | sha256sum'),
    },
    {
      name: 'read-all',
      title: 'cat of every file',
      command: shell(onFiles('xargs -0 -r cat -- >/dev/null')),
      proof: shell(onFiles('LC_ALL=C sort -z | xargs -0 -r cat -- | sha256sum')),
    },
    {
      name: 'sequential',
      title: `dd of the largest file, ${largest.sizeBytes} bytes`,
      command: shell('exec dd if="$2/$1" of=/dev/null bs=1M status=none', largest.path),
    },
    {
      name: 'random',
      title: `${RANDOM_READS} reads of 4 KiB all over the largest file`,
      command: [process.execPath, '-e', RANDOM, largest.path],
      timesItself: true,
    },
    {
      name: 'far-file',
      title: `dd of up to 5 MiB of ${far.path}, at the end of the largest layer`,
      command: shell('exec dd if="$2/$1" of=/dev/null bs=1M count=5 status=none', far.path),
    },
    ...(exec === undefined
      ? []
      : [
          {
            name: 'exec',
            title: `chroot, then ${exec}`,
            command: shell('exec chroot "$2" /bin/sh -c "$1" >/dev/null', exec),
          },
        ]),
  ];
}
