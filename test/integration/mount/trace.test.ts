import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MountStat } from '../../../src/mount/index.ts';
import type { Explanation } from '../../../src/trace/index.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { addBlobs, layoutOf, type MadeArchive, makeArchive } from '../../support/native/index.ts';
import { startOlareg } from '../../support/registry.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** Small files with more than a chunk between them: each is a read of its own, and none is next to another. */
const FILES = Array.from({ length: 12 }, (_, at) => `srv/small-${String(at).padStart(2, '0')}`);
/** No two distances are equal: there is no stride that the daemon could foresee. */
const between = (at: number) => 400_000 + 20_011 * at * at;
const stack = new AsyncDisposableStack();
let dir = '';
let image: MadeArchive;
/** The same with one file changed: another layer with nearly the same chunks. */
let rebuilt: MadeArchive;
let env: Record<string, string>;

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('trace')).path;
  const registry = stack.use(await startOlareg());
  image = await archiveOf('image', registry.address, 'first');
  rebuilt = await archiveOf('rebuilt', registry.address, 'second');
  env = { CLIPYARD_STATE: join(dir, 'state'), CLIPYARD_STORE: `file://${join(dir, 'store')}`, HOME: dir };
});
afterAll(() => stack.disposeAsync());

test('a trace explains a start, and its simulation fetches what the start fetched', async () => {
  const path = join(dir, 'start.trace');
  let [live, shown] = ['', ''];
  let files: readonly FileCost[] = [];
  const look = async (mountpoint: string) => {
    live = (await runCommand(['trace', mountpoint], env)).stdout;
    const stats = ['stat', mountpoint, '--files', image.path];
    ({ files } = await commandJson<{ files: FileCost[] }>(stats, env));
    ({ stdout: shown } = await runCommand(stats, env));
  };
  const stats = await start(image, { cache: 'cold', args: ['--trace', path, '--entry', 'serve'], look });
  expect(await stat(path)).toBeTruthy();
  const args = ['explain', path, '--archive', image.path, '--html', join(dir, 'start.html')];
  const found = await commandJson<Explanation>(args, env);
  expect(found).toMatchObject({ entry: 'serve', engine: 'fuse', touches: FILES.length });
  expect(found.timeline.map((row) => row.path)).toEqual(FILES.toReversed().map((name) => `/${name}`));
  const cold = found.whatIf.find(({ name }) => name === 'cold')?.simulation;
  expect(cold).toMatchObject({
    requests: stats.requests,
    fetchedBytes: stats.fetchedBytes,
    waits: FILES.length,
  });
  expect(found.whatIf.find(({ name }) => name === 'with this profile')?.simulation.waits).toBeLessThan(FILES.length);
  expect(await readFile(join(dir, 'start.html'), 'utf8')).toContain('<svg');
  expect(files.map(({ path: name }) => name).toSorted()).toEqual(FILES.map((name) => `/${name}`));
  expect(files[0]?.waitUs).toBeGreaterThan(0);
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  expect(stats.wantedBytes).toBeGreaterThan(0);
  expect(stats.amplification).toBe(stats.fetchedBytes / stats.wantedBytes);
  expect(sum(stats.tiers.map(({ share }) => share))).toBeCloseTo(1);
  expect(sum(stats.waits.map(({ reads }) => reads))).toBe(
    sum(stats.tiers.map(({ reads, tier }) => (tier === 'ready' ? 0 : reads))),
  );
  expect(stats.layers).toMatchObject([{ mode: 'lazy' }]);
  for (const words of ['amplification', 'share', 'missing', 'waits (', 'slowest files', FILES[0] ?? '', 'lazy'])
    expect(shown).toContain(words);
  // The mount gave the same while it was there, but for the last line.
  const written = (await readFile(path, 'utf8')).trimEnd().split('\n');
  expect(live.trimEnd().split('\n').slice(0, -1)).toEqual(written.slice(0, -1));
  const text = await runCommand(['explain', path], env);
  expect(text).toMatchObject({ exitCode: 0 });
  expect(await commandError(['explain', path, '--archive', rebuilt.path], env)).toMatchObject({
    code: 'ARCHIVE_MISMATCH',
  });
});

test('what is fetched ahead is simulated, too: files from front to back, and back to front', async () => {
  const path = join(dir, 'ahead.trace');
  const large = [11, 4, 9].map((at) => `${FILES[at] ?? ''}.large`);
  const reads = async (mountpoint: string) => {
    for (const name of large) await readFile(join(mountpoint, name));
  };
  const stats = await start(image, { cache: 'ahead', args: ['--trace', path], look: reads });
  const { tiers, whatIf } = await commandJson<Explanation>(['explain', path, '--archive', image.path], env);
  const named = (name: string) => whatIf.find((each) => each.name === name)?.simulation;
  const [cold, without] = [named('cold'), named('cold without read-ahead')];
  expect(stats.requests).toBeLessThan(without?.requests ?? 0);
  // A trace lacks the reads inside chunks that were touched, and which of two reads at one moment was noticed.
  const near = (simulated = 0, real: number, share: number) => Math.abs(simulated - real) <= real * share;
  const real = { requests: stats.requests, fetchedBytes: stats.fetchedBytes, tiers };
  expect(near(cold?.fetchedBytes, stats.fetchedBytes, 0.15), JSON.stringify({ cold, real })).toBe(true);
  expect(near(cold?.requests, stats.requests, 0.35), JSON.stringify({ cold, real })).toBe(true);
});

test('a published profile spares the rebuilt image its waits', async () => {
  const path = join(dir, 'record.trace');
  await start(image, { cache: 'record', args: ['--trace', path] });
  const published = await commandJson<{ published: object[] }>(['profile', 'publish', 'trace/web', path], env);
  expect(published.published).toMatchObject([{ entry: '', runs: 1 }]);
  const without = await start(rebuilt, { cache: 'without', args: [] });
  const with_ = await start(rebuilt, { cache: 'with', args: ['--profile', 'trace/web'], afterReplay: true });
  expect(waitsOf(without)).toBe(FILES.length);
  // What changed has another digest: the chunk or two that hold it.
  expect(waitsOf(with_)).toBeLessThanOrEqual(2);
  expect(with_.replay).toMatchObject({ state: 'done', chunks: FILES.length });
  expect(with_.replay?.used).toBeGreaterThanOrEqual(FILES.length - 2);
  // Eleven answers at once may look like a link with long waits; then what lies on both sides of the changed chunk comes with it.
  expect(with_.requests).toBeLessThanOrEqual(without.requests + 2);
});

test('what is no trace or profile is refused before anything is mounted', async () => {
  const path = join(dir, 'damaged');
  await writeFile(path, '{"v":1,"format":"clipyard-profile","runs":');
  const mountpoint = join(dir, 'nowhere');
  await mkdir(mountpoint);
  const mount = (...args: string[]) => commandError(['mount', image.path, mountpoint, ...args], env);
  expect(await mount('--profile', path)).toMatchObject({ code: 'TRACE_INVALID' });
  expect(await mount('--profile', join(dir, 'missing'))).toMatchObject({ code: 'PATH_NOT_FOUND' });
  expect(await mount('--trace', join(dir, 'no/folder/x'))).toMatchObject({ code: 'PATH_NOT_FOUND' });
  expect(await commandError(['explain', path], env)).toMatchObject({ code: 'TRACE_INVALID' });
  expect(await commandError(['profile', 'publish', 'trace/web', path], env)).toMatchObject({ code: 'TRACE_INVALID' });
  expect(await commandJson(['mounts'], env)).toEqual([]);
});

type FileCost = Explanation['files'][number];

interface StartOptions {
  readonly cache: string;
  readonly args: readonly string[];
  /** Waits until what the profile names is there. */
  readonly afterReplay?: boolean;
  /** What to ask or read before the end. */
  readonly look?: (mountpoint: string) => Promise<void>;
}

/** Mounts on an empty cache, reads the small files from the last to the first, unmounts, and gives what the mount did. */
async function start(archive: MadeArchive, options: StartOptions): Promise<MountStat> {
  const { afterReplay, args, cache, look } = options;
  const mountpoint = join(dir, `mnt-${cache}`);
  await mkdir(mountpoint);
  const flags = ['--engine', 'fuse', '--cache', join(dir, `cache-${cache}`), ...args];
  await commandJson(['mount', archive.path, mountpoint, ...flags], env);
  const replayed = async () => (await commandJson<MountStat>(['stat', mountpoint], env)).replay?.state === 'done';
  try {
    while (afterReplay === true && !(await replayed())) await sleep(20);
    for (const name of FILES.toReversed()) await readFile(join(mountpoint, name));
    await look?.(mountpoint);
  } catch (thrown) {
    await commandJson(['umount', mountpoint], env);
    throw thrown;
  }
  return (await commandJson<{ stat: MountStat }>(['umount', mountpoint], env)).stat;
}

/** Reads that had to wait for the registry. */
function waitsOf({ tiers }: MountStat): number {
  return tiers.filter(({ tier }) => tier === 'missing' || tier === 'coming').reduce((sum, { reads }) => sum + reads, 0);
}

async function archiveOf(name: string, address: string, content: string): Promise<MadeArchive> {
  const tar = tarStream([
    { name: 'srv/', type: '5', mode: 0o755 },
    ...FILES.flatMap((path, at) => [
      { name: path, type: '0', mode: 0o644, data: noise(at === 4 ? content : path, 2000) },
      { name: `${path}.large`, type: '0', mode: 0o644, data: noise(`${path} between`, between(at)) },
    ]),
  ]);
  const where = { registry: address, repository: 'trace/image' };
  const made = await makeArchive(await layoutOf(join(dir, name), [tar]), {
    dir: join(dir, name),
    codec: 'zstd',
    name,
    ...where,
  });
  await addBlobs(address, where.repository, made.layers);
  return made;
}

/** Bytes that do not compress, the same for the same name. */
function noise(name: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(name).digest();
}
