import { messageOf, WorkerError } from '../errors/index.ts';
import { PackagesApi } from '../release/index.ts';
import { type Console, missingPermissions, type TokenUse } from '../services/index.ts';
import type { Secret } from '../telemetry/index.ts';
import type { CommandContext } from './context.ts';
import { trustOf } from './services.ts';

/** It is a courtesy: where the API is out of reach nobody should wait for it. */
const TIMEOUT_MS = 5000;

export interface TokenCheck {
  readonly api: string;
  readonly token: Secret;
  readonly use: TokenUse;
  /** Nothing will be written: what is lacking is only said. */
  readonly dryRun: boolean;
  readonly console: Console;
  readonly context: CommandContext;
}

/**
 * Tells before anything is built that a token may not do what is wanted. GitHub says it of classic tokens only; of others, and where
 * the API cannot be asked, the registry will tell. Throws REGISTRY_DENIED.
 */
export async function checkToken({ api, console, context, dryRun, token, use }: TokenCheck): Promise<void> {
  const { log, signal } = context;
  await using github = new PackagesApi({ api, token, trust: trustOf(context), log });
  const soon = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const scopes = await github.tokenScopes({ signal: soon }).catch((thrown: unknown) => {
    signal.throwIfAborted();
    console.debug(`What the token may do could not be asked: ${messageOf(thrown)}`);
    return undefined;
  });
  if (scopes === undefined) return;
  console.debug(`The token has ${scopes.join(', ') || 'no permission'}`);
  const missing = missingPermissions(scopes, use);
  if (missing.length === 0) return;
  const lack = `the GitHub token lacks ${missing.join(', ')}; it has ${scopes.join(', ') || 'nothing'}`;
  // Public packages are listed without it.
  if (!dryRun && use !== 'list') throw new WorkerError('REGISTRY_DENIED', lack, { missing, scopes });
  console.warning(lack);
}
