// A release as a process of its own, to be killed: release-program.ts REGISTRY REPOSITORY STORE VERSION COMMIT|- DIGEST|-
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import {
  hasEnded,
  type ReleaseContext,
  release,
  releaseRegistry,
  storeLedger,
  thisHolder,
} from '../../../src/release/index.ts';

export interface ProgramRelease {
  readonly registry: string;
  readonly repository: string;
  readonly store: string;
  readonly version: string;
  readonly commit: string | undefined;
  /** What a build gives. */
  readonly built: Digest | undefined;
}

/** The release as the command runs it, with a build that is done already. */
export async function runRelease({ built, commit, store: url, version, ...repository }: ProgramRelease) {
  const { signal } = new AbortController();
  await using client = createRegistryClient();
  await using store = openStore(url, {});
  const wait = async (ms: number) => {
    await sleep(ms);
  };
  const context: ReleaseContext = {
    registry: releaseRegistry(client, repository),
    ledger: storeLedger(store, repository),
    lock: () => Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() }),
    holder: await thisHolder(),
    hasEnded,
    clock: { nowMs: () => Date.now(), sleep: wait, deadline: (ms) => AbortSignal.timeout(ms) },
    pause: () => wait(1),
    say: () => undefined,
    signal,
    build: () => {
      if (built === undefined) throw new Error('nothing to build');
      return Promise.resolve({ digest: built, platforms: ['linux/amd64'] });
    },
  };
  return await release({ app: 'app', version, commit, latest: 'auto', repository }, context);
}

if (process.argv[1] === import.meta.filename) {
  const [, , registry = '', repository = '', store = '', version = '', commit, built] = process.argv;
  const given = (text: string | undefined) => (text === '-' ? undefined : text);
  await runRelease({
    registry,
    repository,
    store,
    version,
    commit: given(commit),
    built: given(built) as Digest | undefined,
  });
}
