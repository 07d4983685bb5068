import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import { parseImageConfig, parseManifest } from '../../../src/oci/index.ts';
import { createRegistryClient, parseReference, type RegistryClient } from '../../../src/registry/index.ts';
import { createRepositoryLock } from '../../../src/release/index.ts';
import { createConsole } from '../../../src/services/index.ts';
import { writeTags } from '../../../src/services/push/write-tags.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../../support/registry.ts';
import { type TestTeam, testTeam } from '../../support/services/team.ts';

const { signal } = new AbortController();
const WRITES = new Set(['PUT', 'POST', 'PATCH', 'DELETE']);

describe.each([
  ['olareg', startOlareg],
  ['distribution', () => startDistribution({ kind: 'none' })],
] as const)('services with %s', (_, start) => {
  let registry: RunningRegistry;
  let proxy: FaultProxy;
  let team: TestTeam;
  let client: RegistryClient;

  beforeAll(async () => {
    registry = await start();
    proxy = await FaultProxy.start(registry.address);
    team = await testTeam(proxy.address, ['backend', 'frontend']);
    client = createRegistryClient();
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await team[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  const digestOf = async (service: string, tag: string) =>
    (await client.headManifest(parseReference(team.reference(service)), tag, { signal }))?.digest;
  const tagsOf = async (service: string) =>
    [...(await client.listTags(parseReference(team.reference(service)), { signal }))].sort();
  const manifestWrites = () =>
    proxy
      .takeRequests()
      .filter(({ method, path }) => WRITES.has(method) && /\/manifests\/(?!sha256:)/.test(path))
      .map(({ path }) => path.split('/').at(-1));
  /** The labels of an image's configuration. */
  const labelsOf = async (service: string, tag: string) => {
    const where = parseReference(team.reference(service));
    const { config } = parseManifest((await client.getManifest(where, tag, { signal })).bytes);
    return parseImageConfig(await buffer(await client.getBlobStream(where, config.digest, { signal }))).config?.Labels;
  };
  const hashOf = async (service: string, tag: string) => (await labelsOf(service, tag))?.['milou.context.hash'];
  const writes = () => proxy.takeRequests().filter(({ method }) => WRITES.has(method));

  test('R003-5: without --push nothing is written to the registry', async () => {
    proxy.takeRequests();
    const { exitCode, stderr, stdout } = await team.run('--all');
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`✅ Successfully built ${team.reference('backend')}:latest`);
    expect(proxy.takeRequests()).toEqual([]);
  });

  test('R003-11: a dry run makes only GET and HEAD, and names tags as they would be', async () => {
    const { exitCode, stdout } = await team.run('--all', '--version', '1.0.0', '--push', '--dry-run');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('🏷️  Will create tags: 1.0.0 and latest');
    expect(stdout).toContain('💡 Tag behavior: Latest tag will move to version 1.0.0');
    const requests = proxy.takeRequests();
    expect(requests.length).toBeGreaterThan(0);
    expect(new Set(requests.map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']));
    expect(await tagsOf('backend')).toEqual([]);
  });

  test('R003-3, R003-4, R003-17: a later push takes what was built, the version first, then latest', async () => {
    proxy.takeRequests();
    const { exitCode, stdout } = await team.run('--all', '--version', '1.0.0', '--push', '--jobs', '1');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('[INFO] Image exists locally, pushing anyway...');
    expect(stdout).not.toContain('🔨');
    expect(manifestWrites()).toEqual(['1.0.0', 'latest', '1.0.0', 'latest']);
    for (const service of ['backend', 'frontend']) {
      expect(await tagsOf(service)).toEqual(['1.0.0', 'latest']);
      expect(await digestOf(service, 'latest')).toBe(await digestOf(service, '1.0.0'));
    }
  });

  test('R003-12, R003-26, C16: what is up to date is not written, and DEBUG is --debug', async () => {
    proxy.takeRequests();
    const { exitCode, stdout } = await team.runWith({ DEBUG: 'true' }, '--all', '--version', '1.0.0', '--push');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('[DEBUG] Local and remote digests match for frontend');
    expect(stdout).toContain('[DEBUG] Image frontend is up to date, skipping build');
    expect(stdout).toContain('[INFO] ⏭️  Skipping frontend (up to date)');
    expect(stdout).toContain(`${team.reference('frontend')}:1.0.0 is already up to date in registry`);
    expect(writes()).toEqual([]);
  });

  test('R003-22, R003-42: every image carries the hash of its own context; a fresh machine builds nothing', async () => {
    const hashes = await Promise.all(['backend', 'frontend'].map((service) => hashOf(service, 'latest')));
    for (const hash of hashes) expect(hash).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(new Set(hashes).size).toBe(2);
    proxy.takeRequests();
    const fresh = { CLIPYARD_STATE: `${team.env['CLIPYARD_STATE'] ?? ''}-fresh` };
    const { stdout } = await team.runWith(fresh, '--all', '--push', '--explain');
    expect(stdout).toContain(
      '[INFO] backend: skip (registry-digest): the registry has an image of the same build context',
    );
    expect(writes()).toEqual([]);
  });

  test('R003-18, C8: a version never gets other bytes, not by --force either', async () => {
    const before = await digestOf('backend', '1.0.0');
    const forced = await team.run('--service', 'backend', '--version', '1.0.0', '--push', '--force');
    expect(forced.exitCode).toBe(73);
    await team.write('backend/main.py', 'changed');
    proxy.takeRequests();
    const { exitCode, stderr, stdout } = await team.run('--service', 'backend', '--version', '1.0.0', '--push');
    expect(exitCode).toBe(73);
    expect(stderr).toContain('TAG_PERMANENT');
    expect(stdout).toContain('take the next one with --version');
    expect(stdout).not.toContain('🔨');
    expect(writes()).toEqual([]);
    expect([await digestOf('backend', '1.0.0'), await digestOf('backend', 'latest')]).toEqual([before, before]);
  });

  test('R003-19, R003-27, R003-42: what changed is built, latest moves, the older version stays', async () => {
    const old = await digestOf('backend', '1.0.0');
    const { exitCode, stdout } = await team.run('--all', '--version', '1.2.0', '--push', '--debug');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('[DEBUG] Build context hash changed for backend');
    expect(stdout).toContain('📤 Pushing');
    expect(stdout).toContain(`${team.reference('backend')}:latest (moving 'latest' tag)...`);
    expect(stdout).toContain("🏷️  The 'latest' tag now points to this image");
    expect(stdout).toContain(`   • ${team.reference('backend')}:latest (moved to 1.2.0)`);
    expect(await digestOf('backend', '1.0.0')).toBe(old);
    expect(await digestOf('backend', 'latest')).toBe(await digestOf('backend', '1.2.0'));
    expect(await digestOf('backend', 'latest')).not.toBe(old);
    // The labels tell which of them changed.
    expect(await hashOf('backend', '1.2.0')).not.toBe(await hashOf('backend', '1.0.0'));
    expect(await hashOf('backend', 'latest')).toBe(await hashOf('backend', '1.2.0'));
    // Not changed: the same image under another version, and no byte sent.
    expect(await digestOf('frontend', '1.2.0')).toBe(await digestOf('frontend', '1.0.0'));
  });

  test('C2, D2: a hotfix of an older line leaves latest, unless it is told otherwise', async () => {
    const latest = await digestOf('backend', 'latest');
    await team.write('backend/main.py', 'hotfix');
    const { exitCode, stdout } = await team.run('--service', 'backend', '--version', '1.1.1', '--push');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('💡 latest not moved: 1.2.0 is higher (--latest=always moves it)');
    expect(await digestOf('backend', 'latest')).toBe(latest);
    const args = ['--service', 'backend', '--version', '1.1.1', '--push', '--latest', 'always'];
    expect((await team.run(...args)).exitCode).toBe(0);
    expect(await digestOf('backend', 'latest')).toBe(await digestOf('backend', '1.1.1'));
  });

  test('C2, D21: latest stays when a higher version came while this one was built', async () => {
    const image = parseReference(team.reference('backend'));
    const [hotfix, release] = [await digestOf('backend', '1.1.1'), await digestOf('backend', '1.2.0')];
    const { bytes, mediaType } = await client.getManifest(image, '1.2.0', { signal });
    await client.putManifest(image, 'latest', bytes, mediaType, { signal });
    const lines: string[] = [];
    const outcomes = await writeTags(
      hotfix as Digest,
      // As it was planned before 1.2.0 came.
      { tags: ['1.1.1', 'latest'], latestStays: undefined, warnings: [] },
      {
        client,
        console: createConsole({ debug: false, pictures: true, write: (line) => lines.push(line) }),
        image,
        lock: createRepositoryLock(team.env['CLIPYARD_STATE'] ?? ''),
        version: '1.1.1',
        latest: 'auto',
        before: new Map(),
        dryRun: false,
        signal,
      },
    );
    expect(outcomes.map(({ outcome, tag }) => [tag, outcome])).toEqual([
      ['1.1.1', 'unchanged'],
      ['latest', 'not-moved'],
    ]);
    expect(lines.at(-1)).toBe('💡 latest not moved: 1.2.0 is higher (--latest=always moves it)');
    expect(await digestOf('backend', 'latest')).toBe(release);
  });

  test('D17: when the version cannot be written, latest stays', async () => {
    const latest = await digestOf('frontend', 'latest');
    await team.write('frontend/main.py', 'changed');
    proxy.inject({ method: 'PUT', path: /manifests\/2\.0\.0$/ }, { kind: 'answer', status: 403 }, { times: 20 });
    const { exitCode, stdout } = await team.run('--all', '--version', '2.0.0', '--push');
    expect(exitCode).toBe(77);
    expect(stdout).toContain('❌ Failed: backend, frontend');
    expect(stdout).not.toContain('🎉');
    expect(await digestOf('frontend', 'latest')).toBe(latest);
  });

  test('R003-8, R003-36, R003-38, C9: the listing has tags with times, latest first, and no digest tags', async () => {
    const where = parseReference(team.reference('frontend'));
    const { bytes, mediaType } = await client.getManifest(where, 'latest', { signal });
    await client.putManifest(where, `sha256-${'a'.repeat(64)}`, bytes, mediaType, { signal });
    proxy.takeRequests();
    const { exitCode, stdout } = await team.run('--list-images', '--service', 'frontend');
    expect(exitCode).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe(`📋 Listing images in ${proxy.address} with tags...`);
    expect(lines[1]).toBe('📦 frontend images:');
    expect(lines[2]).toMatch(/^ {2}• Tag: latest \(created: 20\d\d-\d\d-\d\d \d\d:\d\d\)$/);
    expect(lines.slice(3, 5).map((line) => /Tag: (\S+)/.exec(line)?.[1])).toEqual(['1.2.0', '1.0.0']);
    expect(lines[5]).toBe('💡 Tag Management Notes:');
    expect(writes()).toEqual([]);
  });

  test('R003-6, R003-7: --force builds what is up to date, --no-diff-check takes the image that is there', async () => {
    const { stdout: forced } = await team.run('--service', 'frontend', '--force');
    expect(forced).toContain(`✅ Successfully built ${team.reference('frontend')}:latest`);
    await team.write('frontend/main.py', 'not looked at');
    const { stdout: unlooked } = await team.run('--service', 'frontend', '--no-diff-check', '--explain');
    expect(unlooked).toContain('frontend: skip (no-diff-check)');
  });

  test('R003-41, D38: deleting is refused without a terminal, and a dry run of it writes nothing', async () => {
    proxy.takeRequests();
    const dry = await team.run('--delete-images', '--service', 'frontend', '--dry-run');
    expect(dry.exitCode).toBe(0);
    expect(dry.stdout).toContain(
      'Images that will be deleted:\n  frontend: 3 images\n    - latest\n    - 1.2.0\n    - 1.0.0\n',
    );
    const { exitCode, stderr } = await team.run('--delete-images', '--service', 'frontend');
    expect(exitCode).toBe(77);
    expect(stderr).toContain('TERMINAL_REQUIRED');
    expect(writes()).toEqual([]);
  });
});
