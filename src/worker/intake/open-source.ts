import { join } from 'node:path';
import type { Cancelable } from '../../errors/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { BuildSpec } from '../build-spec.ts';
import type { WorkerPolicy } from '../policy/worker-policy.ts';
import type { Sealer } from '../secrets/sealer.ts';
import type { TreeSize } from './context-tree.ts';
import { folderInside } from './find-dockerfile.ts';
import { checkOut, type GitContext, type GitSpec, resolveCommit } from './git-source.ts';
import type { IntakeLimits } from './intake-limits.ts';
import { openContext } from './open-context.ts';

export interface SourceContext extends Cancelable {
  readonly workspaceId: string;
  readonly store: ObjectStore;
  readonly scratchDir: string;
  readonly limits: IntakeLimits;
  readonly policy: WorkerPolicy;
  readonly sealer: Sealer;
  /** The worker's, for git: PATH, proxies, certificates. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A build's context in a folder, whatever it comes from. Throws what `openContext`, `checkOut` and `folderInside` throw. */
export async function openSource(
  spec: Pick<BuildSpec, 'context' | 'secrets' | 'ssh'>,
  directory: string,
  context: SourceContext,
): Promise<{ readonly directory: string; readonly size: TreeSize }> {
  if (spec.context.type !== 'git') return { directory, size: await openContext(spec.context, directory, context) };
  const source = spec.context;
  const git = gitContext(source, spec, context);
  const commit = source.commit ?? (await resolveCommit(source, git));
  const size = await checkOut({ ...source, commit }, directory, git);
  return { directory: await folderInside(directory, source.subdirectory), size };
}

/** The secrets by which a client gives a login for git, as BuildKit names them. */
const TOKEN = 'GIT_AUTH_TOKEN';

/** What git may use of a build's secrets and agents. */
export function gitContext(
  { url }: GitSpec,
  { secrets, ssh }: Pick<BuildSpec, 'secrets' | 'ssh'>,
  { env, limits, policy, scratchDir, sealer, signal, workspaceId }: Omit<SourceContext, 'store'>,
): GitContext {
  const host = URL.canParse(url) ? new URL(url).host : '';
  const sealed = [`${TOKEN}.${host}`, TOKEN].map((id) => secrets.find((each) => each.id === id)).find(Boolean);
  const token =
    sealed === undefined ? undefined : sealer.open({ workspaceId, id: sealed.id }, sealed.sealed).toString().trim();
  const agent = ssh.includes('default') ? policy.ssh['default'] : undefined;
  const mayUse = agent !== undefined && (agent.workspaces.includes('*') || agent.workspaces.includes(workspaceId));
  return {
    home: join(scratchDir, 'git-home'),
    limits,
    policy,
    signal,
    env,
    ...(token !== undefined && token !== '' && { token }),
    ...(mayUse && { sshAgent: agent.socket }),
  };
}
