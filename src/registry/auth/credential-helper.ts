import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { type Cancelable, messageOf, systemCodeOf, WorkerError } from '../../errors/index.ts';
import { Secret } from '../../telemetry/index.ts';
import type { Credential } from './credential.ts';

const HelperAnswer = z.object({ Username: z.string(), Secret: z.string() });
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const TIMEOUT_MS = 30_000;
/** docker-credential-helpers' word for "there is none"; every helper prints it. */
const NOT_FOUND = 'credentials not found';

/**
 * Runs `docker-credential-<name> get` with the host on its stdin (docker-credential-helpers, "Usage"). Undefined when the
 * helper has nothing for the host. Throws REGISTRY_UNAUTHENTICATED when it cannot be run or fails.
 */
export async function runCredentialHelper(
  name: string,
  host: string,
  { env, signal }: Cancelable & { readonly env: Readonly<Record<string, string | undefined>> },
): Promise<Credential | undefined> {
  if (!HELPER_NAME.test(name))
    throw new WorkerError('CONFIG_INVALID', `docker config: ${JSON.stringify(name)} is no name of a credential helper`);
  const program = `docker-credential-${name}`;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...env }, signal: bounded });
    const closed = once(child, 'close');
    child.stdin.on('error', () => undefined); // a helper may not read its input; its answer counts
    child.stdin.end(`${host}\n`);
    const [output, [exitCode]] = (await Promise.all([text(child.stdout), closed])) as [string, [number | null]];
    if (exitCode === 0) return credentialOf(output);
    if (output.toLowerCase().includes(NOT_FOUND)) return undefined;
    throw new WorkerError('REGISTRY_UNAUTHENTICATED', `${program} failed for ${host}: ${output.trim().slice(0, 200)}`, {
      host,
    });
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof WorkerError) throw thrown;
    const why = systemCodeOf(thrown) === 'ENOENT' ? 'it is not on the PATH' : messageOf(thrown);
    throw new WorkerError(
      'REGISTRY_UNAUTHENTICATED',
      `${program} could not be asked for ${host}: ${why}`,
      { host },
      { cause: thrown },
    );
  }
}

function credentialOf(output: string): Credential {
  let answer: z.infer<typeof HelperAnswer>;
  try {
    answer = HelperAnswer.parse(JSON.parse(output));
  } catch {
    // Without the cause and the output: they may hold the secret.
    throw new WorkerError('REGISTRY_UNAUTHENTICATED', 'a credential helper answered something that is no login');
  }
  const secret = new Secret(answer.Secret);
  return answer.Username === '<token>'
    ? { kind: 'identityToken', token: secret }
    : { kind: 'basic', username: answer.Username, password: secret };
}
