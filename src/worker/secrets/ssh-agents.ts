import { WorkerError } from '../../errors/index.ts';
import type { WorkerPolicy } from '../policy/worker-policy.ts';

/** The sockets of agents by the ids that a build asks for. Throws SOURCE_DENIED when the workspace may not use one. */
export function agentsOf(
  ids: readonly string[],
  workspaceId: string,
  { ssh }: WorkerPolicy,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ids.map((id) => {
      const agent = Object.hasOwn(ssh, id) ? ssh[id] : undefined;
      if (agent === undefined || !(agent.workspaces.includes('*') || agent.workspaces.includes(workspaceId)))
        throw new WorkerError('SOURCE_DENIED', `workspace ${workspaceId} may use no ssh agent ${JSON.stringify(id)}`, {
          id,
        });
      return [id, agent.socket];
    }),
  );
}
