import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runCommandLine } from '../../../src/cli/index.ts';
import { temporaryStateDirectory } from '../temporary-directory.ts';

const never = new AbortController().signal;
const root = join(import.meta.dirname, '../../..');

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A repository with services whose images are one small layer each. */
export interface TestTeam extends AsyncDisposable {
  readonly directory: string;
  readonly file: string;
  /** `host:port/org/repo/service` */
  reference(service: string): string;
  /** Runs `clipyard services` in this process, with a state of its own. */
  run(...args: readonly string[]): Promise<Outcome>;
  /** The same with settings. */
  runWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Outcome>;
  /** Ends it when the signal is raised. */
  runUntil(signal: AbortSignal, ...args: readonly string[]): Promise<Outcome>;
  write(path: string, content: string): Promise<void>;
  readonly env: Readonly<Record<string, string>>;
  /** Of the archives; the repository's name, too. */
  readonly workspace: string;
  /** Under which a service's archive is published. */
  imageId(service: string): string;
}

export async function testTeam(registry: string, services: readonly string[]): Promise<TestTeam> {
  const scratch = await temporaryStateDirectory('services');
  const repo = `team-${randomUUID().slice(0, 8)}`;
  const write = async (path: string, content: string) => {
    await mkdir(join(scratch.path, 'team', path, '..'), { recursive: true });
    await writeFile(join(scratch.path, 'team', path), content);
  };
  for (const service of services) {
    await write(`${service}/Dockerfile`, 'FROM scratch\nCOPY . /app/\n');
    await write(`${service}/main.py`, `${repo} ${service}`);
  }
  const file = join(scratch.path, 'team/clipyard.yaml');
  const list = services.map((name) => `  - name: ${name}\n`).join('');
  await write('clipyard.yaml', `registry: ${registry}\norg: acme\nrepo: ${repo}\nservices:\n${list}`);
  const env = {
    CLIPYARD_STATE: join(scratch.path, 'state'),
    CLIPYARD_STORE: `file://${join(scratch.path, 'store')}`,
    CLIPYARD_WORKSPACE: repo,
    CLIPYARD_LOG: 'warn',
    DOCKER_CONFIG: join(scratch.path, 'docker'),
    GITHUB_TOKEN: '',
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
  };
  const runAs = async (
    { env: more = {}, signal }: { readonly env?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
    args: readonly string[],
  ): Promise<Outcome> => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const said = Promise.all([text(stdout), text(stderr)]);
    const exitCode = await runCommandLine(['node', 'clipyard', 'services', '--file', file, ...args], {
      env: { ...process.env, ...env, ...more },
      root,
      signal,
      stdout,
      stderr,
    });
    stdout.end();
    stderr.end();
    const [out, err] = await said;
    return { exitCode, stdout: out, stderr: err };
  };
  return {
    directory: join(scratch.path, 'team'),
    file,
    env,
    workspace: repo,
    imageId: (service) => `${repo.replaceAll('-', '_')}.${service}`,
    reference: (service) => `${registry}/acme/${repo}/${service}`,
    run: (...args) => runAs({ signal: never }, args),
    runWith: (more, ...args) => runAs({ env: more, signal: never }, args),
    runUntil: (signal, ...args) => runAs({ signal }, args),
    write,
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}
