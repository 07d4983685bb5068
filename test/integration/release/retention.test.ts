import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, hexOf } from '../../../src/digest/index.ts';
import { type ObjectStore, openStore } from '../../../src/objects/index.ts';
import { createRegistryClient, type RegistryClient } from '../../../src/registry/index.ts';
import {
  createRepositoryLock,
  ledgerKey,
  type RetentionEvent,
  type RetentionPolicy,
  readInventory,
  registryReader,
  registryStore,
  runRetention,
} from '../../../src/release/index.ts';
import { commandJson, startCommand } from '../../support/command-line.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { runInProcess } from '../../support/in-process.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../../support/registry.ts';
import { type FourReleases, fourReleases } from '../../support/release/four-releases.ts';
import type { MemoryRepository } from '../../support/release/memory-repository.ts';
import { pushRepository } from '../../support/release/push-repository.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const policy: RetentionPolicy = {
  keep: 2,
  order: 'created',
  graceMs: 86_400_000,
  protect: new Set(),
  variants: [],
  withCommitTags: false,
};

const POLICY = { CLIPYARD_RETENTION: 'keep=2,order=version' };

for (const [name, start] of [
  ['distribution', () => startDistribution({ kind: 'none' })],
  ['olareg', startOlareg],
] as const)
  describe(name, () => {
    let registry: RunningRegistry;
    let proxy: FaultProxy;
    let client: RegistryClient;
    let state: TemporaryDirectory;
    let repository: { registry: string; repository: string };

    beforeAll(async () => {
      registry = await start();
    });
    afterAll(async () => {
      await registry[Symbol.asyncDispose]();
    });
    beforeEach(async () => {
      proxy = await FaultProxy.start(registry.address);
      client = createRegistryClient({ limits: { attempts: 2, pauseMs: 1, maxPauseMs: 2, retryBudgetMs: 100 } });
      state = await temporaryDirectory('retention');
      repository = { registry: proxy.address, repository: `retention/${randomUUID()}` };
    });
    afterEach(async () => {
      await client[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await state[Symbol.asyncDispose]();
    });

    const contextOf = (
      by = client,
      objectStores: readonly ObjectStore[] = [],
      onEvent?: (event: RetentionEvent) => void,
    ) => ({
      store: registryStore(by, repository),
      objectStores,
      lock: createRepositoryLock(state.path),
      stateDirectory: state.path,
      nowMs: Date.now(),
      signal,
      ...(onEvent && { onEvent }),
    });
    const push = async (model: MemoryRepository) => {
      await pushRepository(model, { ...repository, registry: registry.address });
      proxy.takeRequests();
    };
    const isThere = async (name: string) => (await client.headManifest(repository, name, { signal })) !== undefined;
    const present = async (names: readonly string[]) => await Promise.all(names.map(isThere));
    const tags = async () =>
      (await client.listTags(repository, { signal })).filter((tag) => !tag.startsWith('sha256-')).toSorted();

    /** Distribution lists a tag for ever whose deletion broke off. */
    const tagsThatAreThere = async () => {
      const names = await tags();
      const found = await present(names);
      return names.filter((_, at) => found[at]);
    };

    test('R002-8, D22, D24, C4: the newest releases stay with all they need, the rest goes with all that only it needed', async () => {
      const { garbage, kept, model } = fourReleases();
      await push(model);
      const result = await runRetention(policy, { dryRun: false }, contextOf());
      expect(result.plan).toMatchObject({ keptReleases: ['1.3.0', '1.2.0'], expiredReleases: ['1.1.0', '1.0.0'] });
      // 1.1.0 shares its digest with main: the tag goes, the image stays.
      expect(result.plan.deletions.filter(({ kind }) => kind === 'tag')).toMatchObject([{ tag: '1.1.0' }]);
      expect(await tags()).toEqual(['1.2.0', '1.3.0', 'latest', 'main']);
      expect(await present(kept)).toEqual(kept.map(() => true));
      expect(await present(garbage)).toEqual(garbage.map(() => false));
      const again = await runRetention(policy, { dryRun: false }, contextOf());
      expect(again.plan.deletions).toEqual([]);
    });

    test('D39: a dry run gives the same plan and only reads', async () => {
      const { model } = fourReleases();
      await push(model);
      const dry = await runRetention(policy, { dryRun: true }, contextOf());
      const methods = new Set(proxy.takeRequests().map(({ method }) => method));
      expect([...methods].toSorted()).toEqual(['GET', 'HEAD']);
      const real = await runRetention(policy, { dryRun: false }, contextOf());
      expect(real.plan).toEqual(dry.plan);
    });

    test('D27: a page that is lost, or a 429 in the middle, deletes nothing', async () => {
      const { garbage, kept, model } = fourReleases();
      await push(model);
      const sharedManifest = new RegExp(`/manifests/${kept[0] ?? ''}$`);
      await using impatient = createRegistryClient({ limits: { attempts: 1 } });
      for (const [match, status] of [
        [{ method: 'GET', path: /\/tags\/list$/ }, 503],
        [{ method: 'HEAD', path: /\/manifests\/1\.3\.0$/ }, 429],
        [{ method: 'GET', path: sharedManifest }, 429],
        [{ method: 'GET', path: /\/referrers\// }, 500],
        [{ method: 'GET', path: /\/blobs\// }, 429],
      ] as const) {
        proxy.inject(match, { kind: 'answer', status });
        await expect(
          runRetention(policy, { dryRun: false }, contextOf(impatient)),
          String(match.path),
        ).rejects.toMatchObject({
          code: status === 503 ? 'REGISTRY_UNAVAILABLE' : 'INVENTORY_INCOMPLETE',
        });
      }
      expect(proxy.takeRequests().filter(({ method }) => method === 'DELETE')).toEqual([]);
      expect(await present([...garbage, ...kept])).not.toContain(false);
    });

    test('D28: a registry that refuses to delete is said so, and the tag that was to go alone is where it was', async () => {
      const { garbage, kept, model } = fourReleases();
      await push(model);
      proxy.inject({ method: 'DELETE' }, { kind: 'answer', status: 405 }, { times: 100 });
      await expect(runRetention(policy, { dryRun: false }, contextOf())).rejects.toMatchObject({
        code: 'REGISTRY_DELETE_UNSUPPORTED',
        details: { deleted: 0 },
      });
      expect(await tags()).toEqual(['1.0.0', '1.1.0', '1.2.0', '1.3.0', 'latest', 'main']);
      expect(await present([...garbage, ...kept])).not.toContain(false);
      expect((await client.headManifest(repository, '1.1.0', { signal }))?.digest).toBe(kept[2]);
    });

    test('D22: where no tag is deleted alone, a mark takes its place and goes by digest', async () => {
      const { kept, model } = fourReleases();
      await push(model);
      proxy.inject({ method: 'DELETE', path: /\/manifests\/1\.1\.0$/ }, { kind: 'answer', status: 400 }, { times: 9 });
      await runRetention(policy, { dryRun: false }, contextOf());
      expect(await tags()).toEqual(['1.2.0', '1.3.0', 'latest', 'main']);
      expect(await present(kept)).toEqual(kept.map(() => true));
    });

    describe('behind a release', () => {
      const COMMIT = 'abc123d';
      const releasing = (version: string, ...flags: readonly string[]) => {
        const app = repository.repository.replace('own/shop-', '');
        const name = ['--registry', proxy.address, '--owner', 'own', '--domain', 'shop', '--commit', COMMIT];
        return ['--json', 'release', app, version, ...name, '--store', `file://${state.path}/store`, ...flags];
      };
      const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
        runInProcess(args, { CLIPYARD_STATE: state.path, DOCKER_CONFIG: state.path, ...env });
      const released = async (args: readonly string[], env?: Readonly<Record<string, string>>) => {
        const { exitCode, stderr, stdout } = await run(args, env);
        if (exitCode !== 0) throw new Error(stderr);
        return JSON.parse(stdout) as { retention: { deleted?: number; error?: { code: string } } | null };
      };
      const deletions = () => proxy.takeRequests().filter(({ method }) => method === 'DELETE').length;
      let all: FourReleases;
      beforeEach(async () => {
        repository = { ...repository, repository: `own/shop-${randomUUID()}` };
        all = fourReleases();
        const { model } = all;
        const image = model.index([model.image({ name: '1.4.0', created: '2026-01-05T00:00:00Z' })]);
        model.tags.set(COMMIT, image);
        await push(model);
        // As the build of the commit published it.
        await using store = openStore(`file://${state.path}/store`, {});
        await store.put(`manifests/sha256-${hexOf(image)}.json`, '{}', { signal });
      });
      /** What a file store says of the repository's lock, at each deletion that the registry sees. */
      const locksAtDeletions = () => {
        const seen: boolean[] = [];
        const log = proxy.requests.push.bind(proxy.requests);
        const ledger = `${state.path}/store/${ledgerKey(repository)}`;
        const isLocked = () => 'lock' in (JSON.parse(readFileSync(ledger, 'utf8')) as object);
        proxy.requests.push = (...entries) => {
          if (entries.some(({ method }) => method === 'DELETE')) seen.push(isLocked());
          return log(...entries);
        };
        return { seen, isLocked };
      };

      test('R002-10: what is configured runs behind a release that succeeded, not behind one that failed or is a plan', async () => {
        expect(await released(releasing('1.4.0'))).toMatchObject({ retention: null });
        const refused = await run(releasing('1.3.0', '--retention', 'keep=2'));
        expect(refused).toMatchObject({ exitCode: 73, stdout: '' });
        await released(releasing('1.4.0', '--retention', 'keep=2', '--dry-run'));
        expect((await released(releasing('1.4.0', '--retention', 'none'), POLICY)).retention).toBeNull();
        expect(deletions()).toBe(0);
        const locks = locksAtDeletions();
        const { retention } = await released(releasing('1.4.0'), POLICY);
        // The release gave its lock back before; other machines wait for what comes behind it, too.
        expect([new Set(locks.seen), locks.isLocked()]).toEqual([new Set([true]), false]);
        expect(retention).toMatchObject({ expiredReleases: ['1.2.0', '1.1.0', '1.0.0'], skipped: [] });
        // The three tags' images at least; lists of referrers that are tags come on top.
        expect(retention?.deleted).toBeGreaterThan(all.garbage.length);
        expect(deletions()).toBeGreaterThan(0);
        expect(await tags()).toEqual(['1.3.0', '1.4.0', COMMIT, 'latest', 'main']);
        expect(await present(all.garbage)).toEqual(all.garbage.map(() => false));
      });

      // What these show is no registry's: at one of the two.
      if (name === 'olareg')
        test('R002-8: a store that names nothing of the repository deletes nothing, unless it is said to be the right one', async () => {
          const target = `${repository.registry}/${repository.repository}`;
          const { own } = fourReleases();
          const typed = (url: string, ...flags: readonly string[]) =>
            run(['retention', target, '--keep', '2', '--order', 'version', '--store', url, ...flags]);
          const mistyped = `s3://clipyard/stroe/${randomUUID()}`;
          const env = { ...process.env, CLIPYARD_STATE: state.path };
          await using sibling = openStore(`file://${state.path}/sibling`, {});
          await sibling.put(`manifests/sha256-${'0'.repeat(64)}.json`, '{}', { signal });
          for (const [url, said] of [
            [mistyped, `${mistyped} names no manifest at all of ${target}`],
            [sibling.url, `${sibling.url} names 1 manifests and none of them of ${target}`],
          ] as const)
            for (const flags of [[], ['--dry-run']]) {
              const { exitCode, stderr, stdout } = await runInProcess(
                ['retention', target, '--keep', '2', '--store', `file://${state.path}/store`, '--store', url, ...flags],
                env,
              );
              expect([exitCode, stdout]).toEqual([64, '']);
              expect(stderr).toContain('RETENTION_STORE_UNRELATED');
              expect(stderr).toContain(said);
              expect(stderr).toContain('--store-is-empty');
            }
          expect(deletions()).toBe(0);
          expect(await isThere(own)).toBe(true);
          // Nothing is to go: nothing is asked of the store.
          const nothing = await run(['retention', target, '--keep', '9', '--store', sibling.url]);
          expect([nothing.exitCode, nothing.stderr]).toEqual([0, expect.stringContaining('0 deletions planned')]);
          const behind = releasing('1.4.0').map((arg) => (arg === `file://${state.path}/store` ? sibling.url : arg));
          const refused = await released([...behind, '--retention', 'keep=4,order=version']);
          expect(refused.retention).toMatchObject({ error: { code: 'RETENTION_STORE_UNRELATED' } });
          expect(deletions()).toBe(0);
          const { retention } = await released([...behind, '--retention', 'keep=4,order=version,store_is_empty=true']);
          expect(retention).toMatchObject({ expiredReleases: ['1.0.0'] });
          const done = await typed(sibling.url, '--store-is-empty');
          expect([done.exitCode, done.stdout]).toEqual([0, expect.stringContaining('releases expired: 1.2.0 1.1.0')]);
          expect(await isThere(own)).toBe(false);
        });

      if (name === 'olareg')
        test('R002-8: the command holds the lock in the store that releases of other machines take, and gives it back', async () => {
          const locks = locksAtDeletions();
          const target = `${repository.registry}/${repository.repository}`;
          const args = ['retention', target, '--keep', '2', '--store', `file://${state.path}/store`];
          expect((await run([...args, '--dry-run'])).exitCode).toBe(0);
          expect(existsSync(`${state.path}/store/${ledgerKey(repository)}`)).toBe(false);
          expect((await run(args)).exitCode).toBe(0);
          expect([new Set(locks.seen), locks.isLocked()]).toEqual([new Set([true]), false]);
        });

      test('a retention that fails is said and fails no release; one that cannot be read stops it before', async () => {
        for (const wrong of ['keep=0', 'keep=2,keep=3', 'keep=2,whatever=1', `${state.path}/none.yaml`])
          expect((await run(releasing('1.4.0', '--retention', wrong))).exitCode, wrong).toBeGreaterThan(63);
        expect(proxy.takeRequests()).toEqual([]);
        proxy.inject({ method: 'DELETE' }, { kind: 'answer', status: 405 }, { times: 100 });
        const file = `${state.path}/retention.yaml`;
        await writeFile(file, 'keep: 2\norder: version\ngrace: 1h\n');
        const { retention } = await released(releasing('1.4.0', '--retention', file));
        expect(retention).toMatchObject({ error: { code: 'REGISTRY_DELETE_UNSUPPORTED', details: { deleted: 0 } } });
        expect(await tags()).toEqual(['1.0.0', '1.1.0', '1.2.0', '1.3.0', '1.4.0', COMMIT, 'latest', 'main']);
        const { exitCode, stderr, stdout } = await run(releasing('1.4.0', '--retention', file).slice(1));
        expect([exitCode, stdout.split('\n').at(-2)]).toEqual([
          0,
          'retention failed (REGISTRY_DELETE_UNSUPPORTED), the release stands',
        ]);
        expect(stderr).toContain('retention: failed, the release stands\n');
      });
    });

    test('protected digests and what a store names stay; a store that cannot be read deletes nothing', async () => {
      const { garbage, model, own } = fourReleases();
      await push(model);
      const [first = own] = garbage;
      const url = `file://${state.path}/store`;
      await using store = openStore(url, {});
      await expect(runRetention(policy, { dryRun: false }, contextOf(client, [store]))).rejects.toMatchObject({
        code: 'STORE_BUCKET_NOT_FOUND',
      });
      // A lock must not make the folder.
      expect(existsSync(`${state.path}/store`)).toBe(false);
      await store.put('manifests/what.json', '{}', { signal });
      await expect(runRetention(policy, { dryRun: false }, contextOf(client, [store]))).rejects.toMatchObject({
        code: 'STORE_PROTOCOL',
      });
      expect(await isThere(first)).toBe(true);
      await store.delete('manifests/what.json', { signal });
      await store.put(`manifests/sha256-${hexOf(own)}.json`, '{}', { signal });
      await runRetention(policy, { dryRun: false }, contextOf(client, [store]));
      // The platform that is mounted stays with its SBOM; the index over it goes.
      expect(await present([first, own, garbage[4] ?? own, garbage[5] ?? own])).toEqual([false, true, true, true]);
    });

    test('R001-24: what a store names outlives its index, also when the run is killed right before or behind that', async () => {
      const url = `file://${state.path}/store`;
      await using store = openStore(url, {});
      const ends: (string | undefined)[] = [];
      const left: { repository: string; there: readonly string[] }[] = [];
      // Distribution keeps each manifest by itself: there is less to see.
      const lasts = name === 'olareg' ? (['PUT', 'DELETE', 'none'] as const) : (['none'] as const);
      for (const last of lasts) {
        const { garbage, kept, model, own } = fourReleases();
        repository = { ...repository, repository: `retention/${randomUUID()}` };
        await push(model);
        // The index over it names it no more; nothing else does.
        const [first = own] = garbage;
        await store.put(`manifests/sha256-${hexOf(own)}.json`, '{}', { signal });
        await using doomed = await FaultProxy.start(registry.address);
        await using killed = createRegistryClient({ limits: { attempts: 1 } });
        const dying = new AbortController();
        const path = new RegExp(`/manifests/${last === 'PUT' ? own : first}$`);
        const methods: string[] = [];
        doomed.requests.push = (...entries) => {
          methods.push(...entries.filter((entry) => path.test(entry.path)).map(({ method }) => method));
          if (methods.includes(last)) dying.abort(new Error('killed'));
          return 0;
        };
        const fronted = { registry: doomed.address, repository: repository.repository };
        const context = contextOf(client, [store]);
        const doomedRun = { ...context, store: registryStore(killed, fronted), signal: dying.signal };
        const ended = await runRetention(policy, { dryRun: false }, doomedRun).then(
          () => 'none',
          () => methods.at(-1),
        );
        ends.push(ended);
        await runRetention(policy, { dryRun: false }, { ...context, store: { ...context.store, repository: fronted } });
        expect(await isThere(first)).toBe(false);
        left.push({ repository: repository.repository, there: [own, garbage[4] ?? own, garbage[5] ?? own, ...kept] });
      }
      // What the running one knows by heart must be in its files.
      await using again = await registry.startedAgain();
      for (const { repository: at, there } of left)
        for (const digest of there) {
          const where = { registry: again.address, repository: at };
          expect((await client.getManifest(where, digest, { signal })).digest).toBe(digest);
        }
      expect(ends).toEqual(lasts);
    });

    test('D21: a tag that moved to an expired image after the plan keeps all of it', async () => {
      const { garbage, model } = fourReleases();
      await push(model);
      const [first = '' as Digest, own = '' as Digest] = garbage;
      const { bytes, mediaType } = await client.getManifest(repository, first, { signal });
      const context = contextOf();
      let isFirst = true;
      // Between reading and deleting: the plan is made of what the first list said.
      const store = {
        ...context.store,
        async listTags(options: { readonly signal: AbortSignal }) {
          if (!isFirst) await client.putManifest(repository, 'latest', bytes, mediaType, options);
          isFirst = false;
          return await context.store.listTags(options);
        },
      };
      const { skipped } = await runRetention(policy, { dryRun: false }, { ...context, store });
      expect(skipped.length).toBeGreaterThan(0);
      expect(await present([first, own])).toEqual([true, true]);
    });

    test('R001-24: killed at any deletion and run again, it ends as if it was never killed', async () => {
      // scripts/soak.sh retention kills at every request, the reads too, until a run gets through.
      const all = process.env['CLIPYARD_RETENTION_KILLS'] === 'all';
      const places = all ? Array.from({ length: 1000 }, (_, at) => at + 1) : [1, 2, 5];
      let ended = false;
      for (const at of places) {
        if (ended) break;
        const { garbage, kept, model } = fourReleases();
        repository = { ...repository, repository: `retention/${randomUUID()}` };
        await push(model);
        await using doomed = await FaultProxy.start(registry.address);
        await using killed = createRegistryClient({ limits: { attempts: 1 } });
        const dying = new AbortController();
        let seen = 0;
        // From then on nothing is sent; what was on its way may have arrived or not.
        doomed.requests.push = (...entries) => {
          seen += entries.filter(({ method }) => all || method === 'DELETE').length;
          if (seen >= at) dying.abort(new Error('killed'));
          return 0;
        };
        const name = { registry: doomed.address, repository: repository.repository };
        const first = { ...contextOf(), store: registryStore(killed, name), signal: dying.signal };
        ended = await runRetention(policy, { dryRun: false }, first).then(
          () => true,
          () => false,
        );
        expect(await present(kept)).toEqual(kept.map(() => true));
        // By another way to the same repository, under the same name.
        const store = { ...registryStore(client, repository), repository: name };
        await runRetention(policy, { dryRun: false }, { ...contextOf(), store });
        expect(await present(kept)).toEqual(kept.map(() => true));
        expect(await present(garbage), `killed at ${at}`).toEqual(garbage.map(() => false));
        expect(await tagsThatAreThere()).toEqual(['1.2.0', '1.3.0', 'latest', 'main']);
      }
      expect(ended).toBe(all);
    });

    test('D20, D41: the inventory of the real registry is the one of the model', async () => {
      const { model } = fourReleases();
      await push(model);
      const reader = registryReader(client, repository, {
        listReferrers: (at, digest, options) => client.listReferrers(at, digest, options),
      });
      const inventory = await readInventory(reader, { signal });
      expect(inventory.problems).toEqual([]);
      for (const digest of model.manifests.keys()) expect(inventory.manifests.has(digest)).toBe(true);
    });

    // Programs are slow to start: at one of the two.
    if (name === 'olareg')
      test('the command plans, is killed with SIGKILL at a deletion, and goes on where it was', async () => {
        const { garbage, kept, model } = fourReleases();
        await push(model);
        const target = `${repository.registry}/${repository.repository}`;
        const env = { CLIPYARD_STATE: state.path };
        const args = ['retention', target, '--keep', '2', '--no-store'];
        const dry = await commandJson<{ deletions: object[]; deleted: number }>([...args, '--dry-run'], env);
        expect([dry.deletions.length > 0, dry.deleted]).toEqual([true, 0]);
        proxy.inject({ method: 'DELETE', path: new RegExp(`${garbage[1] ?? ''}$`) }, { kind: 'stall' });
        const running = startCommand(args, env);
        await expect.poll(() => proxy.requests.some(({ fault }) => fault === 'stall'), { timeout: 30_000 }).toBe(true);
        running.child.kill('SIGKILL');
        await running.result;
        const again = await commandJson<{ deleted: number }>(args, env);
        expect(again.deleted).toBeGreaterThan(0);
        expect(await present(kept)).toEqual(kept.map(() => true));
        expect(await present(garbage)).toEqual(garbage.map(() => false));
      });
  });
