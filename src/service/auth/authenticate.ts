import { createHash, timingSafeEqual } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { parseWorkspaceId } from '../../archive/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { Authenticate, Caller } from './caller.ts';
import type { Grant } from './grants.ts';

/** No credentials are asked for: only for a server that nobody else can reach. */
export function trustEverybody(defaultWorkspace: string): Authenticate {
  return ({ workspace }) =>
    Promise.resolve({ workspaceId: parseWorkspaceId(workspace ?? defaultWorkspace), operator: true, name: 'local' });
}

/** Grants say who may call. A token goes before a certificate; `now` is in milliseconds since 1970. */
export function byGrants(grants: () => Promise<readonly Grant[]>, now: () => number): Authenticate {
  return async ({ certificate, token, workspace }) => {
    const all = await grants();
    if (token === undefined && certificate === undefined)
      throw new WorkerError('WORKER_UNAUTHENTICATED', 'the call has no token');
    const found = token === undefined ? grantOfCertificate(all, certificate) : grantOfToken(all, token);
    // An unknown token and one that has ended look alike: a guess is told nothing.
    if (found === undefined || (found.expiresAtMs ?? Number.POSITIVE_INFINITY) <= now())
      throw new WorkerError('WORKER_UNAUTHENTICATED', 'the token or certificate is unknown or has ended');
    return withinWorkspace({ workspaceId: found.workspaceId, operator: found.operator, name: found.name }, workspace);
  };
}

/** Client certificates alone, without a tokens file: the common name is the workspace. Nobody is an operator. */
export const byCommonName: Authenticate = ({ certificate, workspace }) => {
  const name = onlyOf(certificate?.subject.CN);
  if (name === undefined)
    return Promise.reject(new WorkerError('WORKER_UNAUTHENTICATED', 'the call has no client certificate with a name'));
  const caller = { workspaceId: parseWorkspaceId(name), operator: false, name: `CN:${name}` };
  return Promise.resolve(withinWorkspace(caller, workspace));
};

/** A caller may name its workspace, and no other. Throws WORKER_DENIED. */
function withinWorkspace(caller: Caller, workspace: string | undefined): Caller {
  if (workspace === undefined || workspace === caller.workspaceId) return caller;
  throw new WorkerError('WORKER_DENIED', `the token is of workspace ${caller.workspaceId}, the call asks for another`);
}

/** Compares with every grant, so that the time says nothing of which one it was. */
function grantOfToken(grants: readonly Grant[], token: string): Grant | undefined {
  const digest = createHash('sha256').update(token).digest();
  return grants.filter(({ sha256 }) => sha256 !== undefined && timingSafeEqual(sha256, digest))[0];
}

function grantOfCertificate(grants: readonly Grant[], certificate: PeerCertificate | undefined): Grant | undefined {
  const names = certificate === undefined ? [] : namesOf(certificate);
  return grants.find((grant) => grant.certificate !== undefined && names.includes(grant.certificate));
}

/** `CN:…` of the subject and every alternative name, as Node writes them: `DNS:a, URI:b`. */
function namesOf({ subject, subjectaltname = '' }: PeerCertificate): readonly string[] {
  const common = onlyOf(subject.CN);
  // Node quotes a name that holds a comma (CVE-2021-44532): such a one is left out.
  const alternatives = subjectaltname.includes('"') ? [] : subjectaltname.split(', ');
  return [...(common === undefined ? [] : [`CN:${common}`]), ...alternatives];
}

/** A subject with two common names gives a list; which one was meant nobody knows. */
function onlyOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
