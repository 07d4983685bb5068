// `npm run build`: the program as a few files in dist/ (docs/adr/0010-bundle.md). The sources run as they are, too: src/bin/cli.ts.
import { chmodSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const root = join(import.meta.dirname, '..');

/** A file of the bundle, and the modules in it. */
export interface BundledFile {
  readonly path: string;
  readonly modules: readonly string[];
}

/**
 * Loaded late and by few commands, large, and some find files beside themselves: they stay in node_modules. What every start needs
 * (commander, zod, pino) goes into the bundle.
 */
const LEFT_OUT = /^(?:@aws-sdk\/|@grpc\/|@noble\/|bullmq$|ioredis$|undici$|vega$|vega-lite$)/;

/** Writes the program into a folder below the checkout, from where node_modules is found: `bin/cli.js` and what it loads. */
export async function bundle(directory: string): Promise<readonly BundledFile[]> {
  const startedSeconds = Date.now() / 1000;
  await using build = await rolldown({
    cwd: root,
    input: { cli: 'src/bin/cli.ts' },
    platform: 'node',
    external: LEFT_OUT,
  });
  const { output } = await build.write({
    dir: directory,
    format: 'esm',
    entryFileNames: 'bin/[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    cleanDir: true,
  });
  const program = join(directory, 'bin/cli.js');
  chmodSync(program, 0o755);
  // A source that is edited from here on is newer than the bundle (scripts/setup/bundle.sh).
  utimesSync(program, startedSeconds, startedSeconds);
  return output.flatMap((file) =>
    file.type === 'chunk' ? [{ path: join(directory, file.fileName), modules: file.moduleIds }] : [],
  );
}

if (import.meta.main) {
  const dist = join(root, 'dist');
  const staged = join(root, `dist.${process.pid}.tmp`);
  try {
    await bundle(staged);
    rmSync(dist, { recursive: true, force: true });
    renameSync(staged, dist);
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}
