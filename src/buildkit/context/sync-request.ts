import type { RpcCall } from '../session/rpc-call.ts';
import type { ContextFilter, ContextSource } from './context-source.ts';
import { followPaths } from './follow-paths.ts';
import { PatternMatcher } from './pattern-matcher.ts';

/** What the daemon asks for when it opens a sync (BuildKit session/filesync, header keys). */
export interface SyncRequest {
  /** The mount: `context`, `dockerfile`, or a named context. */
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Undefined when the daemon wants the whole tree. */
  readonly follow: readonly string[] | undefined;
}

export function syncRequestOf(call: Pick<RpcCall, 'header'>): SyncRequest {
  const follow = values(call, 'followpaths');
  return {
    name: values(call, 'dir-name')[0] ?? '',
    include: values(call, 'include-patterns'),
    exclude: values(call, 'exclude-patterns'),
    follow: follow.length === 0 ? undefined : follow,
  };
}

/** The filter over a tree: includes and followed paths select, excludes take away. Throws CONFIG_INVALID. */
export function filterOf({ include, exclude, follow }: SyncRequest, source: ContextSource): ContextFilter {
  const followed = follow === undefined ? [] : followPaths(source.links, follow);
  const wanted = followed === undefined ? [] : [...include, ...followed];
  return {
    include: wanted.length === 0 ? undefined : new PatternMatcher(wanted),
    exclude: exclude.length === 0 ? undefined : new PatternMatcher(exclude),
  };
}

/** All values of a key are query-escaped when one of them is not ASCII; a companion key says so. */
function values(call: Pick<RpcCall, 'header'>, key: string): readonly string[] {
  const raw = call.header(key);
  if (call.header(`${key}-encoded`)[0] !== '1') return raw;
  return raw.map((value) => decodeURIComponent(value.replaceAll('+', ' ')));
}
