import { randomFrom } from '../../../src/bench/image/random.ts';
import type { Digest } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { compareVersions, type GuardVersion, parseGuardVersion, release } from '../../../src/release/index.ts';
import { type Call, MemoryRelease, requestFor } from './memory-release.ts';

export interface ModelReport {
  readonly histories: number;
  readonly releases: number;
  readonly calls: number;
  /** Releases that were at work while another one was. */
  readonly overlapping: number;
  readonly killed: number;
  readonly deletions: number;
  readonly lostAnswers: number;
  readonly movesOfLatest: number;
  readonly violations: readonly string[];
}

/** A release that runs up to its next call, and no further before it is told to. */
interface Actor {
  readonly version: string;
  readonly holderId: string;
  resume: (() => void) | undefined;
  blocked: () => void;
  ended: boolean;
}

/**
 * Random histories of one repository against the real planning and writing code: releases, backports, prereleases, rebuilds,
 * deletions by others, failures before and behind a call, deaths, and two releases at once that take turns at every single call.
 * A violation is a moving tag that goes down or a permanent tag that changes. The same for a seed each time.
 */
export async function checkHistories(
  count: number,
  seed: number,
  progress: (done: number) => void = () => undefined,
): Promise<ModelReport> {
  const totals = { releases: 0, calls: 0, overlapping: 0, killed: 0, deletions: 0, lostAnswers: 0, movesOfLatest: 0 };
  const violations: string[] = [];
  for (let at = 0; at < count; at++) {
    const history = new History(seed + at);
    await history.run();
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += history.totals[key];
    violations.push(...history.violations.map((what) => `seed ${seed + at}: ${what}`));
    if ((at + 1) % 10_000 === 0) progress(at + 1);
  }
  return { histories: count, ...totals, violations };
}

class History {
  readonly violations: string[] = [];
  readonly totals = {
    releases: 0,
    calls: 0,
    overlapping: 0,
    killed: 0,
    deletions: 0,
    lostAnswers: 0,
    movesOfLatest: 0,
  };
  readonly #memory = new MemoryRelease();
  readonly #random: () => number;
  readonly #actors: Actor[] = [];
  readonly #ended = new Set<string>();
  readonly #commits: readonly string[];
  /** The version that an image was seen under, whatever became of the tag: the highest of several. */
  readonly #versionOf = new Map<Digest, GuardVersion>();
  readonly #released = new Map<string, Digest>();
  readonly #hasFaults: boolean;
  #builds = 0;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
    this.#hasFaults = this.#random() < 0.5;
    this.#commits = ['aaaaaaa', 'bbbbbbb', 'ccccccc', 'ddddddd'];
    for (const commit of this.#commits)
      if (this.#chance(0.7)) this.#memory.tags.set(commit, this.#memory.addImage(`${seed} ${commit}`));
    this.#memory.onPut = (tag, digest) => {
      this.#watchPut(tag, digest);
    };
  }

  async run(): Promise<void> {
    let left = 3 + this.#below(4);
    while (left > 0 || this.#actors.length > 0) {
      if (left > 0 && (this.#actors.length === 0 || (this.#actors.length < 2 && this.#chance(0.3)))) {
        left -= 1;
        await this.#start();
      } else if (this.#hasFaults && this.#chance(0.02)) this.#deleteSomething();
      else await this.#step();
    }
    if (!this.#hasFaults) this.#checkEnd();
  }

  async #start(): Promise<void> {
    const version = this.#someVersion();
    const commit = this.#chance(0.7) ? this.#commits[this.#below(this.#commits.length)] : undefined;
    const actor: Actor = {
      version,
      holderId: `${this.totals.releases}`,
      resume: undefined,
      blocked: () => undefined,
      ended: false,
    };
    this.totals.releases += 1;
    this.#actors.push(actor);
    if (this.#actors.length > 1) this.totals.overlapping += this.#actors.length;
    const context = this.#memory.context({
      holder: { id: actor.holderId, host: 'here', pid: this.totals.releases, startedAt: '1' },
      hasEnded: ({ id }) => this.#ended.has(id),
      build: () => this.#memory.addImage(`build ${this.#builds++} ${this.#random()}`),
      before: (call) => this.#turn(actor, call),
    });
    const blocked = new Promise<void>((resolve) => {
      actor.blocked = resolve;
    });
    void release(requestFor({ version, commit }), context)
      .then(
        ({ digest }) => this.#released.set(version, digest),
        (thrown: unknown) => {
          if (!(thrown instanceof WorkerError)) this.violations.push(`${version}: ${String(thrown)}`);
        },
      )
      .finally(() => {
        this.#end(actor);
        actor.blocked();
      });
    await blocked;
  }

  async #turn(actor: Actor, { what }: Call): Promise<void> {
    const resumed = new Promise<void>((resolve) => {
      actor.resume = resolve;
    });
    actor.blocked();
    await resumed;
    this.totals.calls += 1;
    const isRegistry = what === 'head' || what === 'get' || what === 'put' || what === 'tags';
    if (!this.#hasFaults || !isRegistry) return;
    if (this.#chance(0.02)) throw new WorkerError('REGISTRY_UNAVAILABLE', 'no answer');
    this.#memory.after = () => {
      this.#memory.after = () => undefined;
      if (!this.#chance(0.02)) return;
      this.totals.lostAnswers += 1;
      throw new WorkerError('REGISTRY_UNAVAILABLE', 'the answer was lost');
    };
  }

  /** One actor goes on to its next call, or dies where it is. */
  async #step(): Promise<void> {
    const actor = this.#actors[this.#below(this.#actors.length)];
    if (actor?.resume === undefined) throw new Error('a release waits for something that is no call');
    if (this.#hasFaults && this.#chance(0.01)) {
      this.totals.killed += 1;
      this.#end(actor);
      return;
    }
    const blocked = new Promise<void>((resolve) => {
      actor.blocked = resolve;
    });
    const { resume } = actor;
    actor.resume = undefined;
    resume();
    await blocked;
  }

  #end(actor: Actor): void {
    this.#ended.add(actor.holderId);
    const at = this.#actors.indexOf(actor);
    if (at >= 0) this.#actors.splice(at, 1);
  }

  #deleteSomething(): void {
    const tags = [...this.#memory.tags.keys()];
    const tag = tags[this.#below(tags.length)];
    const digest = tag === undefined ? undefined : this.#memory.tags.get(tag);
    if (tag === undefined || digest === undefined) return;
    this.totals.deletions += 1;
    if (this.#chance(0.5)) this.#memory.tags.delete(tag);
    else {
      this.#memory.manifests.delete(digest);
      for (const [name, named] of this.#memory.tags) if (named === digest) this.#memory.tags.delete(name);
    }
  }

  #watchPut(tag: string, digest: Digest): void {
    const before = this.#memory.tags.get(tag);
    if (tag === 'latest') {
      if (before !== digest) this.totals.movesOfLatest += 1;
      const was = before === undefined ? undefined : this.#versionOf.get(before);
      const is = this.#versionOf.get(digest);
      if (is === undefined) this.violations.push(`latest moved to an image that is no release (${digest})`);
      else if (was !== undefined && compareVersions(is, was) < 0)
        this.violations.push(`latest went from ${was.text} down to ${is.text}`);
      return;
    }
    const released = this.#released.get(tag);
    if (before !== undefined && before !== digest) this.violations.push(`${tag} changed from ${before} to ${digest}`);
    if (released !== undefined && released !== digest)
      this.violations.push(`${tag} was released as ${released} and is now ${digest}`);
    const version = parseGuardVersion(tag);
    if (version?.released !== true) return;
    const known = this.#versionOf.get(digest);
    if (known === undefined || compareVersions(version, known) > 0) this.#versionOf.set(digest, version);
  }

  /** Where nothing failed and nobody interfered, latest is the highest release. */
  #checkEnd(): void {
    const versions = [...this.#released].flatMap(([text, digest]) => {
      const version = parseGuardVersion(text);
      return version?.released === true ? [{ version, digest }] : [];
    });
    const highest = versions.toSorted((one, other) => compareVersions(other.version, one.version))[0];
    const latest = this.#memory.tags.get('latest');
    if (highest !== undefined && latest !== highest.digest)
      this.violations.push(`latest is ${String(latest)} and not ${highest.version.text}`);
  }

  /** Few numbers, so that lines, backports and repeats meet. */
  #someVersion(): string {
    const numbers = `${1 + this.#below(2)}.${[0, 1, 9, 10][this.#below(4)] ?? 0}.${this.#below(3)}`;
    const prerelease = this.#chance(0.15) ? `-rc.${this.#below(2)}` : '';
    return `v${numbers}${prerelease}`;
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }
}
