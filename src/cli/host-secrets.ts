import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import type { SecretSource } from '../buildkit/index.ts';
import { WorkerError } from '../errors/index.ts';

const PIP_CONFIG = '/etc/pip.conf';
/** How apt reaches its mirrors: proxies, timeouts, certificates. The rest of a machine's apt settings is its own business. */
const APT_KEYS = /^Acquire::(?:https?|ftp|Retries|ForceIPv[46])\b/;

/**
 * What RUN steps need on a machine behind a private CA or a proxy: secret `ca-bundle`, and this machine's `pip-conf` and
 * `apt-conf` (empty where it has none, so that a Dockerfile can always mount them). Secrets leave no trace in a layer.
 */
export async function hostSecrets(caBundle: string): Promise<Readonly<Record<string, SecretSource>>> {
  const file = resolve(caBundle);
  if (!existsSync(file)) throw new WorkerError('SECRET_NOT_FOUND', `--ca-bundle ${caBundle}: there is no such file`);
  const empty = { bytes: new Uint8Array() };
  return {
    'ca-bundle': { file },
    'pip-conf': existsSync(PIP_CONFIG) ? { file: PIP_CONFIG } : empty,
    'apt-conf': { bytes: Buffer.from(await aptSettings()) },
  };
}

async function aptSettings(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('apt-config', ['dump']);
    return stdout
      .split('\n')
      .filter((line) => APT_KEYS.test(line) && !line.endsWith(' "";'))
      .map((line) => `${line}\n`)
      .join('');
  } catch {
    return ''; // no apt on this machine
  }
}
