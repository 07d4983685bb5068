import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export interface GoProgram {
  readonly name: string;
  readonly module: string;
  readonly version: string;
  /** Folder of the module with its `main`. */
  readonly folder: string;
  /** Go's name of the variable that holds the version. */
  readonly versionVariable: string;
}

/**
 * Builds a program of somebody else once a version, and gives its path in the cache. It is built in its own module, with its own
 * versions of what it needs: `go install MODULE@VERSION` would also ask for all versions of the module, which not every proxy tells.
 */
export function goProgram({ folder, module, name, version, versionVariable }: GoProgram): string {
  const path = join(programCache(), `${name}-${version}`);
  if (existsSync(path)) return path;
  const download = execFileSync('go', ['mod', 'download', '-json', `${module}@v${version}`], {
    cwd: import.meta.dirname, // a folder of no Go module of ours
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { Dir } = JSON.parse(download.toString()) as { readonly Dir: string };
  buildInto(path, Dir, `./${folder}`, `-s -w -X ${versionVariable}=${version}`);
  return path;
}

/** Builds the `main` in a folder of the Go module at `dir`; a build that is killed leaves nothing at `path`. */
export function buildInto(path: string, dir: string, folder: string, linker = '-s -w'): void {
  mkdirSync(dirname(path), { recursive: true });
  const made = `${path}.${process.pid}`;
  try {
    execFileSync('go', ['build', '-C', dir, '-trimpath', '-buildvcs=false', '-ldflags', linker, '-o', made, folder], {
      env: { ...process.env, CGO_ENABLED: '0' },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    renameSync(made, path);
  } finally {
    rmSync(made, { force: true });
  }
}

function programCache(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clipyard/bin');
}
