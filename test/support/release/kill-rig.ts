import { deepEqual, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Digest } from '../../../src/digest/index.ts';
import { isIndexType, parseIndex, parseManifest } from '../../../src/oci/index.ts';
import { createRegistryClient, type RegistryClient, type Repository } from '../../../src/registry/index.ts';
import { startCommand } from '../command-line.ts';
import { runInProcess } from '../in-process.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../registry.ts';
import { serviceSetting } from '../services.ts';
import { temporaryStateDirectory } from '../temporary-directory.ts';
import { KillFront, type LastRequest } from './kill-front.ts';

const signal = new AbortController().signal;

/** Where a command is killed: a repository of its own each time, seen through the front and past it. */
export interface KillPlace {
  readonly client: RegistryClient;
  /** As the command names it. */
  readonly fronted: Repository;
  readonly direct: Repository;
  readonly storeUrl: string;
  /** Of the command and of whoever looks at its store past the front. */
  readonly env: Readonly<Record<string, string>>;
  readonly directEnv: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
}

/** A command and the two legal ends of everything it touches. */
export interface KillCase {
  readonly args: readonly string[];
  /** What each tag names before and in the end; undefined: there is none. A function where only the end tells. */
  readonly tags: ReadonlyMap<string, TagSpan>;
  /** Tags of these are at their end only when all in front of them are. */
  readonly order: readonly string[];
  /** Whole at any time: manifests with children and blobs. */
  readonly live: readonly Digest[];
  /** Gone in the end. */
  readonly garbage: readonly Digest[];
  /** Tags that say nothing of a release. */
  readonly ignored?: RegExp;
}
export type TagSpan = readonly [before: Digest | undefined, end: TagEnd];
type Tags = ReadonlyMap<string, Digest>;
export type TagEnd = Digest | undefined | ((end: Tags) => Digest | undefined);

export interface KillSubject {
  readonly name: string;
  prepare(place: KillPlace): Promise<KillCase>;
}

export type KillOutcome =
  | (LastRequest & { readonly kind: 'killed' })
  | { readonly kind: 'ended'; readonly requests: number };

/** Registry and store with one front before both. */
export class KillRig implements AsyncDisposable {
  readonly #front: KillFront;
  readonly #registry: RunningRegistry;
  readonly #directory: string;
  readonly #client: RegistryClient;
  readonly #stack: AsyncDisposableStack;

  private constructor(front: KillFront, registry: RunningRegistry, directory: string, stack: AsyncDisposableStack) {
    this.#front = front;
    this.#registry = registry;
    this.#directory = directory;
    this.#client = stack.use(createRegistryClient());
    this.#stack = stack;
  }

  static async start(registry: 'distribution' | 'olareg'): Promise<KillRig> {
    const stack = new AsyncDisposableStack();
    const running = stack.use(await (registry === 'olareg' ? startOlareg() : startDistribution({ kind: 'none' })));
    const store = new URL(serviceSetting('AWS_ENDPOINT_URL')).host;
    const front = stack.use(await KillFront.start([running.address, store]));
    const directory = stack.use(await temporaryStateDirectory('kill')).path;
    return new KillRig(front, running, directory, stack);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** The whole run, and how many requests it makes. */
  async count(subject: KillSubject): Promise<number> {
    const outcome = await this.killedAt(Number.POSITIVE_INFINITY, subject);
    return outcome.kind === 'ended' ? outcome.requests : 0;
  }

  /** SIGKILL behind the request of that number, then the same command again. Throws an AssertionError where it is no legal end. */
  async killedAt(at: number, subject: KillSubject): Promise<KillOutcome> {
    const place = this.#newPlace();
    const given = await subject.prepare(place);
    const outcome = await this.#kill(at, given.args, place);
    const between = await tagsOf(place, given);
    await requireWhole(given.live, place);
    this.#front.disarm();
    const again = await runInProcess(given.args, { ...process.env, ...place.env });
    deepEqual([again.exitCode, again.exitCode === 0 ? '' : again.stderr], [0, '']);
    await requireEnd(given, between, place);
    // What the running one knows by heart must be in its files.
    await using files = await this.#registry.startedAgain();
    await requireWhole(given.live, { ...place, direct: { ...place.direct, registry: files.address } });
    return outcome;
  }

  async #kill(at: number, args: readonly string[], { env }: KillPlace): Promise<KillOutcome> {
    let last: LastRequest | undefined;
    const running: { child?: ReturnType<typeof startCommand> } = {};
    this.#front.arm(at, async (request) => {
      last = request;
      running.child?.child.kill('SIGKILL');
      await running.child?.result;
    });
    running.child = startCommand(args, env);
    const { exitCode, stderr } = await running.child.result;
    if (last !== undefined) return { ...last, kind: 'killed' };
    deepEqual([exitCode, exitCode === 0 ? '' : stderr], [0, '']);
    return { kind: 'ended', requests: this.#front.seen };
  }

  #newPlace(): KillPlace {
    const id = randomUUID();
    const [registry = '', store = ''] = this.#front.addresses;
    const repository = `kill/shop-${id}`;
    const env = { CLIPYARD_STATE: this.#directory, DOCKER_CONFIG: this.#directory };
    return {
      client: this.#client,
      fronted: { registry, repository },
      direct: { registry: this.#registry.address, repository },
      storeUrl: `s3://clipyard/kill/${id}`,
      env: { ...env, AWS_ENDPOINT_URL: `http://${store}` },
      directEnv: { ...process.env, ...env },
      directory: this.#directory,
    };
  }
}

async function requireEnd(given: KillCase, between: Tags, place: KillPlace): Promise<void> {
  const { garbage, live, order, tags } = given;
  const end = await tagsOf(place, given);
  const expected = [...tags].flatMap(([tag, [, after]]) => {
    const digest = typeof after === 'function' ? after(end) : after;
    return digest === undefined ? [] : [[tag, digest] as const];
  });
  deepEqual(Object.fromEntries(end), Object.fromEntries(expected.toSorted(([one], [other]) => (one < other ? -1 : 1))));
  for (const [tag, digest] of between) ok(tags.has(tag), `${tag} is ${digest} and nobody's`);
  for (const [tag, [before]] of tags) {
    const then = between.get(tag);
    ok(then === before || then === end.get(tag), `between the runs ${tag} is ${then ?? 'absent'}`);
  }
  const isDone = order.map((tag) => between.get(tag) === end.get(tag));
  deepEqual(
    isDone,
    isDone.toSorted((one, other) => Number(other) - Number(one)),
    `out of order: ${order.join(', ')}`,
  );
  await requireWhole([...live, ...end.values()], place);
  for (const digest of garbage) ok((await head(digest, place)) === undefined, `${digest} is left`);
}

/** Without lists of referrers. Distribution lists a tag for ever whose deletion broke off: only what can be asked for counts. */
async function tagsOf(place: KillPlace, { ignored = /^sha256-/ }: KillCase): Promise<Tags> {
  const names = await place.client.listTags(place.direct, { signal }).catch(() => []);
  const found = new Map<string, Digest>();
  for (const tag of names.filter((each) => !each.startsWith('sha256-') && !ignored.test(each)).toSorted()) {
    const digest = await head(tag, place);
    if (digest !== undefined) found.set(tag, digest);
  }
  return found;
}

async function head(name: string, { client, direct }: KillPlace): Promise<Digest | undefined> {
  return (await client.headManifest(direct, name, { signal }))?.digest;
}

async function requireWhole(digests: readonly Digest[], place: KillPlace): Promise<void> {
  const { client, direct } = place;
  const waiting = new Set(digests);
  for (const digest of waiting) {
    const { bytes, mediaType } = await client.getManifest(direct, digest, { signal });
    if (isIndexType(mediaType)) for (const child of parseIndex(bytes).manifests) waiting.add(child.digest);
    else {
      const { config, layers } = parseManifest(bytes);
      for (const blob of [config, ...layers])
        ok((await client.headBlob(direct, blob.digest, { signal })) !== undefined, `${digest} lost ${blob.digest}`);
    }
  }
}
