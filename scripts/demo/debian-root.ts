import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const SUITE = 'bookworm';

/** The root tree of a minimal Debian as a tar, made once by debootstrap and kept in the user's cache. */
export function debianRootTar(env: NodeJS.ProcessEnv): { readonly path: string; readonly made: boolean } {
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clipyard', 'debian');
  const path = join(cache, `${SUITE}-minbase-1.tar`);
  if (existsSync(path)) return { path, made: false };
  mkdirSync(cache, { recursive: true });
  const root = join(cache, `root-${process.pid}`);
  try {
    run('debootstrap', ['--variant=minbase', SUITE, root]);
    // What changes with every bootstrap and helps nobody: package lists, the package cache, logs, this machine's name.
    for (const path of ['var/cache/apt', 'var/lib/apt/lists', 'var/log'])
      run('find', [join(root, path), '-type', 'f', '-delete']);
    for (const path of ['etc/hostname', 'etc/resolv.conf']) rmSync(join(root, path), { force: true });
    run('tar', [
      '-C',
      root,
      '--sort=name',
      '--numeric-owner',
      '--one-file-system',
      '--xattrs',
      '-cf',
      `${path}.tmp`,
      '.',
    ]);
    renameSync(`${path}.tmp`, path);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return { path, made: true };
}

function run(program: string, args: readonly string[]): void {
  const { error, status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(
      `${program} ${args.join(' ')}: exit ${String(status)}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`,
    );
}
