import { WorkerError } from '../../errors/index.ts';
import { matchesAny } from '../policy/pattern.ts';
import type { WorkerPolicy } from '../policy/worker-policy.ts';

/** Names that git takes for refs (git-check-ref-format), without what could be an option or a pattern. */
const REF = /^(?![-/.])(?!.*(?:\.\.|\/\/|@\{|\.lock(?:\/|$)))[^\p{Cc} ~^:?*[\\]+(?<![/.])$/u;
const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/**
 * The address of a repository that the worker may read. It holds no password: that would be kept with the build; it comes as
 * the secret GIT_AUTH_TOKEN. Throws GIT_FAILED for what is no address, SOURCE_DENIED.
 */
export function gitAddress(text: string, { git }: WorkerPolicy): URL {
  // The text itself is not shown: it may hold a password.
  if (!URL.canParse(text) || /[\p{Cc}\s]/u.test(text) || text.startsWith('-'))
    throw new WorkerError('GIT_FAILED', 'the git source has no address: write https://…, ssh://… or file:///…');
  const url = new URL(text);
  const protocol = url.protocol.slice(0, -1);
  if (url.password !== '' || (url.username !== '' && protocol !== 'ssh'))
    throw new WorkerError(
      'GIT_FAILED',
      `the address of ${url.host} holds a login; give it as the secret GIT_AUTH_TOKEN or GIT_AUTH_TOKEN.${url.host}`,
    );
  const shown = `${protocol}://${url.host}${url.pathname}`;
  const isKnown = git.protocols.some((each) => each === protocol);
  if (!isKnown || url.hostname.startsWith('-') || url.username.startsWith('-') || !matchesAny(git.allow, shown))
    throw new WorkerError('SOURCE_DENIED', `the worker's policy does not allow the git source ${shown.slice(0, 300)}`, {
      source: shown.slice(0, 300),
    });
  return url;
}

/** A branch, tag or commit. Throws GIT_FAILED. */
export function gitRef(text: string): string {
  if (REF.test(text)) return text;
  throw new WorkerError('GIT_FAILED', `no name of a branch, tag or commit: ${JSON.stringify(text.slice(0, 200))}`);
}

export function isCommit(text: string): boolean {
  return COMMIT.test(text);
}
