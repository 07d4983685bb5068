import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import type { Repository } from '../../../src/registry/index.ts';
import { copyImage } from '../../../src/release/index.ts';
import { runInProcess } from '../in-process.ts';
import { fourReleases } from './four-releases.ts';
import type { KillCase, KillPlace, KillSubject, TagEnd, TagSpan } from './kill-rig.ts';
import { MemoryRepository } from './memory-repository.ts';
import { pushRepository } from './push-repository.ts';

const signal = new AbortController().signal;
const COMMITS = ['c0ffee1', 'c0ffee2'] as const;

function releaseArgs(version: string, { fronted, storeUrl }: KillPlace): readonly string[] {
  const app = fronted.repository.replace('kill/shop-', '');
  const name = ['--registry', fronted.registry, '--owner', 'kill', '--domain', 'shop', '--commit', COMMITS[1]];
  return ['release', app, version, ...name, '--store', storeUrl];
}

/** Two images that share a platform, each under its commit; the first one is v1.0.0. */
function twoCommits() {
  const model = new MemoryRepository();
  const shared = model.image({ name: 'shared', created: '2026-01-01T00:00:00Z' });
  const index = (name: string) =>
    model.index([shared, model.image({ name, created: '2026-01-02T00:00:00Z', platform: 'linux/arm64' })]);
  const [first, second] = [index('first'), index('second')];
  for (const [tag, digest] of [
    [COMMITS[0], first],
    [COMMITS[1], second],
    ['v1.0.0', first],
  ] as const)
    model.tags.set(tag, digest);
  return {
    model,
    first,
    second,
    commits: [
      [COMMITS[0], [first, first]],
      [COMMITS[1], [second, second]],
    ] as const,
  };
}

/** v1.1.0 behind v1.0.0: version, then latest. */
const release: KillSubject = {
  name: 'release',
  async prepare(place) {
    const { commits, first, model, second } = twoCommits();
    model.tags.set('latest', first);
    await pushRepository(model, place.direct);
    return {
      args: releaseArgs('v1.1.0', place),
      tags: new Map<string, TagSpan>([
        ...commits,
        ['v1.0.0', [first, first]],
        ['v1.1.0', [undefined, second]],
        ['latest', [first, second]],
      ]),
      order: ['v1.1.0', 'latest'],
      live: [first, second],
      garbage: [],
    };
  },
};

/** v1.0.1 where v2.0.0 is released: latest must not go down. */
const backport: KillSubject = {
  name: 'backport',
  async prepare(place) {
    const { commits, first, model, second } = twoCommits();
    const newest = model.index([model.image({ name: 'newest', created: '2026-01-03T00:00:00Z' })]);
    for (const tag of ['v2.0.0', 'latest']) model.tags.set(tag, newest);
    await pushRepository(model, place.direct);
    const stay = (tag: string, digest: Digest) => [tag, [digest, digest]] as const;
    return {
      args: releaseArgs('v1.0.1', place),
      tags: new Map<string, TagSpan>([
        ...commits,
        stay('v1.0.0', first),
        stay('v2.0.0', newest),
        stay('latest', newest),
        ['v1.0.1', [undefined, second]] as const,
      ]),
      order: [],
      live: [first, second, newest],
      garbage: [],
    };
  },
};

/** A release, and the retention behind it: the tag of the old one goes when the new one is written. */
const behind: KillSubject = {
  name: 'release-and-retention',
  async prepare(place) {
    const { args, live, tags, ...rest } = await release.prepare(place);
    const [first] = tags.get('v1.0.0') ?? [];
    await using store = openStore(place.storeUrl, place.directEnv);
    // As the build of the second commit published it: the store is the repository's.
    for (const digest of live.slice(1)) await store.put(`manifests/sha256-${hexOf(digest)}.json`, '{}', { signal });
    return {
      ...rest,
      live,
      args: [...args, '--retention', 'keep=1,order=version'],
      tags: new Map<string, TagSpan>([...tags, ['v1.0.0', [first, undefined]]]),
      order: ['v1.1.0', 'latest', 'v1.0.0'],
    };
  },
};

/** Two of four releases go; a platform of one that goes is mounted by a store. */
const retention: KillSubject = {
  name: 'retention',
  async prepare(place) {
    const { garbage, kept, model, own } = fourReleases();
    await pushRepository(model, place.direct);
    await using store = openStore(place.storeUrl, place.directEnv);
    await store.put(`manifests/sha256-${hexOf(own)}.json`, '{}', { signal });
    const mounted = garbage.filter((digest) => digest === own || hangsOn(model, digest, own));
    const goes = new Set(['1.0.0', '1.1.0']);
    const tags = [...model.tags].filter(([tag]) => !tag.startsWith('sha256-'));
    return {
      args: [
        'retention',
        `${place.fronted.registry}/${place.fronted.repository}`,
        '--keep',
        '2',
        '--store',
        place.storeUrl,
      ],
      tags: new Map<string, TagSpan>(tags.map(([tag, digest]) => [tag, [digest, goes.has(tag) ? undefined : digest]])),
      order: [],
      live: [...kept, ...mounted],
      garbage: garbage.filter((digest) => !mounted.includes(digest)),
    };
  },
};

/** Whether a manifest refers to another one, or to what refers to it. */
function hangsOn(model: MemoryRepository, digest: Digest, to: Digest): boolean {
  const { bytes } = model.manifests.get(digest) ?? { bytes: Buffer.from('{}') };
  const { subject } = JSON.parse(Buffer.from(bytes).toString()) as { subject?: { digest: Digest } };
  return subject !== undefined && (subject.digest === to || hangsOn(model, subject.digest, to));
}

const VARIANTS = ['3.9', '3.13'] as const;
const PRECISION = (version: string) => VARIANTS.map((each) => `${version}-python${each}`);
const MOVING = VARIANTS.map((each) => `python${each}`);

/** 1.1.0 of two variants behind 1.0.0, through BuildKit. 1.0.0 is built once, past the front, and copied to each place. */
function matrix(): KillSubject {
  let pattern: Repository | undefined;
  return {
    name: 'matrix',
    async prepare(place) {
      pattern ??= await builtOnce(place);
      const standing = new Map<string, Digest>();
      for (const tag of [...PRECISION('1.0.0'), '1.0.0', ...MOVING, 'latest']) {
        const { client, direct } = place;
        const { digest } = await copyImage({ client, source: { ...pattern, tag }, target: { ...direct, tag }, signal });
        standing.set(tag, digest);
      }
      return {
        args: await matrixArgs('1.1.0', place.fronted, place),
        tags: new Map<string, TagSpan>([
          ...endsOf(standing),
          ...PRECISION('1.1.0').map((tag) => [tag, [undefined, own(tag)]] as const),
        ]),
        order: [...PRECISION('1.1.0'), ...MOVING, '1.1.0', 'latest'],
        live: [...standing.values()],
        garbage: [],
        // The pipeline's own name of a build.
        ignored: /\.python/,
      };
    },
  };
}

/** Permanent tags stay; moving ones end where the precision tag of the new version is. */
function endsOf(standing: ReadonlyMap<string, Digest>): KillCase['tags'] {
  const newest = own('1.1.0-python3.13');
  const end = (tag: string): TagEnd => {
    if (tag === 'latest') return newest;
    return MOVING.includes(tag) ? own(`1.1.0-${tag}`) : standing.get(tag);
  };
  const tags = [...standing].map(([tag, digest]) => [tag, [digest, end(tag)] as const] as const);
  return new Map<string, TagSpan>([...tags, ['1.1.0', [undefined, newest] as const] as const]);
}

/** Only the end tells what was built; that must be something. */
function own(tag: string): TagEnd {
  return (end) => {
    const digest = end.get(tag);
    if (digest === undefined) throw new Error(`${tag} is not there in the end`);
    return digest;
  };
}

async function builtOnce(place: KillPlace): Promise<Repository> {
  const repository = { ...place.direct, repository: `${place.direct.repository}-pattern` };
  const env = { ...place.directEnv, CLIPYARD_STATE: place.directory };
  const { exitCode, stderr } = await runInProcess(await matrixArgs('1.0.0', repository, place), env);
  if (exitCode !== 0) throw new Error(stderr);
  return repository;
}

async function matrixArgs(version: string, target: Repository, place: KillPlace): Promise<readonly string[]> {
  const context = join(place.directory, `matrix-${version}`);
  await mkdir(context, { recursive: true });
  await writeFile(
    join(context, 'Dockerfile'),
    'FROM scratch\nARG PYTHON_VERSION\nCOPY version python-${PYTHON_VERSION} /\n',
  );
  for (const name of ['version', ...VARIANTS.map((each) => `python-${each}`)])
    await writeFile(join(context, name), `${name} of ${version}\n`);
  const [folder = '', image = ''] = target.repository.split('/');
  const config = {
    registry: `${target.registry}/${folder}`,
    image,
    variants: VARIANTS,
    default: '3.13',
    image_id: 'orb',
  };
  const files = { 'matrix.yaml': config, 'event.json': eventOf(version) };
  for (const [name, content] of Object.entries(files)) await writeFile(join(context, name), JSON.stringify(content));
  const [file, event] = Object.keys(files).map((name) => join(context, name));
  return ['matrix', '--config', file ?? '', '--context', event ?? '', '--store', place.storeUrl];
}

function eventOf(version: string): object {
  return { event: 'push', sha: 'c'.repeat(40), default_branch: 'main', ref: `refs/tags/v${version}` };
}

/** Everything that writes tags of releases or deletes them, by name. */
export const killSubjects: readonly KillSubject[] = [release, backport, behind, retention, matrix()];
