import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';

/** Of what git says: enough for a list of many thousand refs or files, and for the reason of a failure. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;

export interface GitOptions extends Cancelable {
  /** Where git may keep files of its own: it sees no other home, and no configuration of this machine. */
  readonly home: string;
  readonly protocols: readonly string[];
  readonly timeoutMs: number;
  /** For https; in the environment only, where no list of processes shows it. */
  readonly token?: string;
  /** Agent for ssh. */
  readonly sshAgent?: string;
  /** The part of the worker's environment that git needs: PATH, proxies, certificates. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const INHERITED = [
  'PATH',
  'HTTPS_PROXY',
  'https_proxy',
  'HTTP_PROXY',
  'http_proxy',
  'NO_PROXY',
  'no_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'GIT_SSL_CAINFO',
];

/**
 * Runs git on a source that nobody trusts: without a shell, without prompts, hooks, filters or other protocols than the
 * allowed ones. Throws GIT_FAILED with what git said, without logins.
 */
export async function runGit(args: readonly string[], options: GitOptions): Promise<Buffer> {
  const { home, signal, timeoutMs, token } = options;
  signal.throwIfAborted();
  await makeDirectory(home);
  const deadline = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, deadline]);
  // A group of its own, so that its helpers (git-remote-https, ssh) end with it.
  const child = spawn('git', [...SETTINGS, ...args], {
    cwd: home,
    env: environment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended
    }
  };
  either.addEventListener('abort', kill, { once: true });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  try {
    const [output, said, code] = await Promise.all([
      gather(child.stdout, MAX_OUTPUT_BYTES, kill),
      gather(child.stderr, MAX_ERROR_BYTES, () => undefined),
      ended,
    ]);
    signal.throwIfAborted();
    if (deadline.aborted) throw new WorkerError('GIT_FAILED', `git did not end within ${timeoutMs} ms`, { timeoutMs });
    if (output.isCut) throw new WorkerError('LIMIT_EXCEEDED', `git said more than ${MAX_OUTPUT_BYTES} bytes`);
    if (code === 0) return output.bytes;
    throw new WorkerError(
      'GIT_FAILED',
      `git ${args[0] === '-C' ? args[2] : args[0]}: ${reasonOf(said.bytes.toString(), token)}`,
    );
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError('GIT_FAILED', `git cannot be run: ${messageOf(thrown)}`, {}, { cause: thrown });
  } finally {
    either.removeEventListener('abort', kill);
    kill();
  }
}

const SETTINGS = [
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'core.autocrlf=false',
  '-c',
  'submodule.recurse=false',
  '-c',
  'fetch.recurseSubmodules=false',
  '-c',
  'credential.helper=',
  '-c',
  'gc.auto=0',
  '-c',
  'advice.detachedHead=false',
  '-c',
  'http.followRedirects=initial',
  // A repository that another user owns, served over file://, is read and never run.
  '-c',
  'safe.directory=*',
];

function environment({ env, home, protocols, sshAgent, token }: GitOptions): NodeJS.ProcessEnv {
  const header = token === undefined ? undefined : Buffer.from(`x-access-token:${token}`).toString('base64');
  return {
    ...Object.fromEntries(INHERITED.map((name) => [name, env[name]])),
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '/bin/false',
    SSH_ASKPASS: '/bin/false',
    GIT_ALLOW_PROTOCOL: protocols.join(':'),
    GIT_PROTOCOL_FROM_USER: '0',
    GIT_SSH_COMMAND: 'ssh -o BatchMode=yes -o ForwardAgent=no -o ClearAllForwardings=yes',
    GIT_LFS_SKIP_SMUDGE: '1',
    ...(sshAgent !== undefined && { SSH_AUTH_SOCK: sshAgent }),
    ...(header !== undefined && {
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'http.extraHeader',
      GIT_CONFIG_VALUE_0: `Authorization: Basic ${header}`,
    }),
  };
}

async function gather(
  source: AsyncIterable<Buffer>,
  maxBytes: number,
  onCut: () => void,
): Promise<{ readonly bytes: Buffer; readonly isCut: boolean }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of source) {
    if (bytes > maxBytes) continue;
    bytes += part.length;
    parts.push(part);
    if (bytes > maxBytes) onCut();
  }
  return { bytes: Buffer.concat(parts), isCut: bytes > maxBytes };
}

/** The last lines, without a login that an address or a server's answer may hold. */
function reasonOf(said: string, token: string | undefined): string {
  const clean = said.replaceAll(/\/\/[^/\s@]*@/g, '//').trim();
  const hidden = token === undefined ? clean : clean.replaceAll(token, '[redacted]');
  return hidden === '' ? 'it failed and said nothing' : hidden.split('\n').slice(-5).join('; ').slice(0, 1000);
}
