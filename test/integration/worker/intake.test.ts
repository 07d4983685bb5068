import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BuildkitClient, BuildkitResult } from '../../../src/buildkit/index.ts';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { MAX_MANIFEST_BYTES, OciLayout, parseManifest } from '../../../src/oci/index.ts';
import { formatReference } from '../../../src/registry/index.ts';
import type { PreparedBuild } from '../../../src/worker/index.ts';
import { memoryGroup } from '../../support/control-group.ts';
import { makeTar } from '../../support/make-tar.ts';
import { connect, fresh, Workplace } from '../buildkit/harness.ts';
import { type Intake, once, openIntake, pushFileImage, request, signal } from './harness.ts';

let place: Workplace;
let intake: Intake;
let buildkit: BuildkitClient;

beforeAll(async () => {
  place = await Workplace.open();
  intake = await openIntake(place.path);
  buildkit = await connect();
});
afterAll(async () => {
  await buildkit[Symbol.asyncDispose]();
  await intake[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

async function run(
  prepared: PreparedBuild,
): Promise<{ solved: BuildkitResult; landing: OciLayout; layers: readonly string[] }> {
  const landing = await OciLayout.open(join(place.path, `landing-${fresh()}`), { create: true, signal });
  const solved = await buildkit.build(prepared.image.build, { landing, signal });
  const manifest = parseManifest(await landing.readBlob(solved.descriptor, { signal, maxBytes: MAX_MANIFEST_BYTES }));
  return { solved, landing, layers: manifest.layers.map(({ digest }) => digest) };
}

/** What is submitted is taken at once and prepared. */
async function prepareNext(policy?: unknown): Promise<PreparedBuild> {
  const lease = await intake.take();
  const { job } = lease;
  await lease.end({ state: 'done', result: {} });
  await lease[Symbol.asyncDispose]();
  return await intake.prepare(job, policy);
}

describe('bases are what they were when a build was submitted', () => {
  test('a tag that moves before the build is no other base', async () => {
    const { builds, client, target, workspaceId } = intake;
    const base = { ...target, repository: `${target.repository}/base` };
    const before = await pushFileImage(client, base, 'stable', `before ${fresh()}`);
    const name = formatReference({ ...base, tag: 'stable' });
    const spec = { context: { type: 'inline', dockerfile: `FROM ${name}\nENV STAMP=${fresh()}\n` } };
    await builds.submit(workspaceId, request(spec), { signal });
    const after = await pushFileImage(client, base, 'stable', `after ${fresh()}`);
    await using prepared = await prepareNext();
    expect((await run(prepared)).layers).toEqual([before.layer]);
    await builds.submit(workspaceId, request(spec), { signal });
    await using again = await prepareNext();
    expect((await run(again)).layers).toEqual([after.layer]);
  });

  test('named contexts and COPY --from are held, too, and another base is another key', async () => {
    const { builds, client, target, workspaceId } = intake;
    const base = { ...target, repository: `${target.repository}/copied` };
    await pushFileImage(client, base, 'v', `one ${fresh()}`);
    const name = formatReference({ ...base, tag: 'v' });
    const dockerfile = `FROM scratch\nCOPY --from=${name} /which /a\nCOPY --from=named /which /b\n`;
    const spec = {
      context: { type: 'inline', dockerfile },
      namedContexts: { named: `docker-image://${name}` },
    };
    const first = await builds.submit(workspaceId, request(spec), { signal });
    const second = await builds.submit(workspaceId, request(spec), { signal });
    expect([first.how, second.how, second.build.jobId]).toEqual(['queued', 'shared', first.build.jobId]);
    const moved = await pushFileImage(client, base, 'v', `two ${fresh()}`);
    const third = await builds.submit(workspaceId, request(spec), { signal });
    expect(third.how).toBe('queued');
    expect(third.build.jobId).not.toBe(first.build.jobId);
    await using prepared = await prepareNext();
    await using later = await prepareNext();
    const [one, two] = [await run(prepared), await run(later)];
    expect(one.layers).not.toEqual(two.layers);
    expect(later.image.build.sourcePolicy).toContainEqual({
      action: 'convert',
      source: `docker-image://${name}`,
      to: `docker-image://${name}@${moved.manifest}`,
    });
  });
});

describe('the policy', () => {
  test('a frontend is refused at submission, and BuildKit is told not to look for one', async () => {
    const { builds, workspaceId } = intake;
    const dockerfile = '# syntax=127.0.0.1:1/evil\nFROM scratch\nCOPY Dockerfile /\n';
    const context = { type: 'inline', dockerfile };
    await expect(builds.submit(workspaceId, request({ context }), { signal })).rejects.toMatchObject({
      code: 'FRONTEND_DENIED',
    });
    const landing = await place.layout(`own-${fresh()}`);
    const contextDir = await place.context({ Dockerfile: dockerfile }, `own-${fresh()}`);
    await expect(buildkit.build({ contextDir, syntax: 'own' }, { landing, signal })).resolves.toBeDefined();
    await expect(buildkit.build({ contextDir }, { landing, signal })).rejects.toBeDefined();
  });

  test('BuildKit itself holds a build to the sources', async () => {
    const { builds, client, target, workspaceId } = intake;
    const base = { ...target, repository: `${target.repository}/denied` };
    await pushFileImage(client, base, 'v', 'x');
    const name = formatReference({ ...base, tag: 'v' });
    const spec = { context: { type: 'inline', dockerfile: `FROM ${name}\nENV STAMP=${fresh()}\n` } };
    await builds.submit(workspaceId, request(spec), { signal });
    // The policy was changed since: what reads the Dockerfile says so.
    await using prepared = await prepareNext({ sources: { deny: [`docker-image://${name}*`] } });
    await expect(run(prepared)).rejects.toMatchObject({ code: 'SOURCE_DENIED' });
  });

  test('steps are shut off where the policy says so, whatever the Dockerfile asks for', async () => {
    const { builds, workspaceId } = intake;
    // The daemon gives steps the network of this machine unless they are shut off.
    const ours = await readlink('/proc/self/ns/net');
    const step = (flag: string) =>
      `RUN ${flag} ["/busybox", "sh", "-c", "/busybox readlink /proc/self/ns/net > /network"]`;
    const dockerfile = (flag: string) => `FROM scratch\nCOPY busybox /\nENV STAMP=${fresh()}\n${step(flag)}\n`;
    const build = async (flag: string, network: string, policy: object) => {
      const tar = makeTar([
        { name: 'busybox', data: await readFile('/bin/busybox'), mode: 0o755 },
        { name: 'Dockerfile', data: dockerfile(flag) },
      ]);
      const { digest } = await builds.upload(workspaceId, once(tar), { signal });
      await builds.submit(workspaceId, request({ context: { type: 'uploaded', digest }, network }), { signal });
      await using prepared = await prepareNext(policy);
      const { landing, layers } = await run(prepared);
      const bytes = await readFile(landing.blobPath((layers.at(-1) ?? '') as Digest));
      expect(bytes.includes('net:[')).toBe(true);
      return bytes.includes(ours) ? 'ours' : 'shut off';
    };
    expect(await build('', 'default', {})).toBe('ours');
    expect(await build('--network=default', 'default', { network: 'none', networks: ['none'] })).toBe('shut off');
    // Only who is given the host's network may ask for it in a step.
    await expect(build('--network=host', 'none', { networks: ['none'] })).rejects.toMatchObject({
      code: expect.stringMatching(/^BUILD/) as string,
    });
    const asked = request({ context: { type: 'inline', dockerfile: 'FROM scratch\n' }, network: 'host' });
    await expect(builds.submit(workspaceId, asked, { signal })).rejects.toMatchObject({ code: 'SOURCE_DENIED' });
  });

  test('steps run in the control group of the policy, and end where its memory does', async () => {
    const { builds, workspaceId } = intake;
    await using group = await memoryGroup(32 * 1024 ** 2);
    const build = async (script: string) => {
      const tar = makeTar([
        { name: 'busybox', data: await readFile('/bin/busybox'), mode: 0o755 },
        {
          name: 'Dockerfile',
          data: `FROM scratch\nCOPY busybox /\nENV STAMP=${fresh()}\nRUN ["/busybox", "sh", "-c", "${script}"]\n`,
        },
      ]);
      const { digest } = await builds.upload(workspaceId, once(tar), { signal });
      await builds.submit(workspaceId, request({ context: { type: 'uploaded', digest } }), { signal });
      await using prepared = await prepareNext({ cgroupParent: group.name });
      return await run(prepared);
    };
    const take = (mebibytes: number) => `/busybox dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1`;
    await build(take(8));
    await expect(build(take(64))).rejects.toMatchObject({ code: 'BUILD_STEP_FAILED', details: { exitCode: 137 } });
  });

  test("another workspace's image in the worker's repository is none of a build's", async () => {
    const { builds, client, target, workspaceId } = intake;
    for (const [owner, allowed] of [
      [workspaceId, true],
      [`${workspaceId}-more`, false],
      ['other', false],
    ] as const) {
      await pushFileImage(client, target, `${owner}-base`, `image of ${owner}`);
      const dockerfile = `FROM ${formatReference({ ...target, tag: `${owner}-base` })}\nENV STAMP=${fresh()}\n`;
      await builds.submit(workspaceId, request({ context: { type: 'inline', dockerfile } }), { signal });
      await using prepared = await prepareNext();
      const outcome = await run(prepared).catch((thrown: unknown) => thrown);
      if (allowed) expect(outcome).toHaveProperty('layers');
      else expect(outcome).toMatchObject({ code: 'SOURCE_DENIED' });
    }
  });
});

describe('contexts', () => {
  test('an upload is stored once, read by its workspace alone, and gone from the disk after the build', async () => {
    const { builds, workspaceId } = intake;
    const tar = makeTar([
      { name: 'Dockerfile', data: 'FROM scratch\nCOPY file /\n' },
      { name: 'file', data: fresh() },
    ]);
    const uploaded = await builds.upload(workspaceId, once(tar), { signal });
    expect(uploaded).toEqual({ digest: digestOf(tar), sizeBytes: tar.length });
    expect(await builds.upload(workspaceId, once(tar), { signal })).toEqual(uploaded);
    const context = { type: 'uploaded', digest: uploaded.digest };
    await expect(builds.submit('other', request({ context }), { signal })).rejects.toMatchObject({
      code: 'UPLOAD_NOT_FOUND',
    });
    await builds.submit(workspaceId, request({ context }), { signal });
    {
      await using prepared = await prepareNext();
      expect(await readFile(join(prepared.image.build.contextDir, 'file'), 'utf8')).toHaveLength(36);
      expect((await run(prepared)).layers).toHaveLength(1);
    }
    expect(await readdir(join(place.path, 'jobs'))).toEqual([]);
    expect(await readdir(join(place.path, 'scratch/uploads'))).toEqual([]);
  });

  test("keys of the store outside the workspace's contexts are refused", async () => {
    const { builds, workspaceId } = intake;
    for (const key of ['contexts/other/x.tar', 'images/x.json', `contexts/${workspaceId}x/y.tar`])
      await expect(
        builds.submit(workspaceId, request({ context: { type: 'object', key } }), { signal }),
      ).rejects.toMatchObject({ code: 'SOURCE_DENIED' });
    const key = `contexts/${workspaceId}/missing.tar`;
    await expect(
      builds.submit(workspaceId, request({ context: { type: 'object', key } }), { signal }),
    ).rejects.toMatchObject({ code: 'STORE_OBJECT_NOT_FOUND' });
  });

  test('a Dockerfile that leads out of the context is not read', async () => {
    const { builds, workspaceId } = intake;
    const tar = makeTar([{ name: 'Dockerfile', type: '2', link: '/etc/hostname' }]);
    const { digest } = await builds.upload(workspaceId, once(tar), { signal });
    await builds.submit(workspaceId, request({ context: { type: 'uploaded', digest } }), { signal });
    await expect(prepareNext()).rejects.toMatchObject({ code: 'CONTEXT_PATH_OUTSIDE' });
  });

  test('a secret reaches its step, and is nowhere in what the queue holds', async () => {
    const { builds, workspaceId } = intake;
    const secret = `hunter-${fresh()}`;
    const tar = makeTar([
      {
        name: 'Dockerfile',
        data: 'FROM scratch\nCOPY busybox /\nRUN --mount=type=secret,id=s ["/busybox","sh","-c","/busybox md5sum /run/secrets/s > /sum"]\n',
      },
      { name: 'busybox', data: await readFile('/bin/busybox'), mode: 0o755 },
    ]);
    const { digest } = await builds.upload(workspaceId, once(tar), { signal });
    const secrets = [{ id: 's', version: '', value: Buffer.from(secret) }];
    const spec = { context: { type: 'uploaded', digest } };
    const { build } = await builds.submit(workspaceId, request(spec, { secrets }), { signal });
    expect(JSON.stringify(await builds.get(workspaceId, build.buildId, { signal }))).not.toContain(secret);
    const lease = await intake.take();
    expect(JSON.stringify(lease.job)).not.toContain(secret);
    await using prepared = await intake.prepare(lease.job);
    await lease.end({ state: 'done', result: {} });
    await lease[Symbol.asyncDispose]();
    expect((await run(prepared)).layers).toHaveLength(2);
    const other = [{ id: 's', version: '', value: Buffer.from('another') }];
    const again = await builds.submit(workspaceId, request(spec, { secrets: other }), { signal });
    const same = await builds.submit(workspaceId, request(spec, { secrets: other }), { signal });
    expect([again.how, same.how]).toEqual(['queued', 'shared']);
    await (await prepareNext())[Symbol.asyncDispose]();
  });
});

describe('sharing', () => {
  const spec = { context: { type: 'inline', dockerfile: `FROM scratch\nCOPY Dockerfile /\nENV A=${fresh()}\n` } };

  test('a secret counts by its version, or by its value where it has none', async () => {
    const { builds, workspaceId } = intake;
    const dockerfile = `FROM scratch\nENV STAMP=${fresh()}\n`;
    const submit = async (value: string, version: string, id = 'token') => {
      const secrets = [{ id, version, value: Buffer.from(value) }];
      const asked = request({ context: { type: 'inline', dockerfile } }, { secrets });
      return (await builds.submit(workspaceId, asked, { signal })).build.jobId;
    };
    const one = await submit('hunter2', '');
    expect(await submit('hunter2', '')).toBe(one);
    expect(await submit('hunter3', '')).not.toBe(one);
    expect(await submit('hunter2', '', 'other')).not.toBe(one);
    const versioned = await submit('renewed today', 'v1');
    expect(await submit('renewed tomorrow', 'v1')).toBe(versioned);
    expect(await submit('renewed tomorrow', 'v2')).not.toBe(versioned);
    for (let left = 5; left > 0; left -= 1) {
      await using lease = await intake.take();
      expect(JSON.stringify(lease.job)).not.toMatch(/hunter|renewed/);
      await lease.end({ state: 'done', result: {} });
    }
  });

  test('never crosses workspaces, and needs a hermetic build or an age', async () => {
    const { builds, workspaceId } = intake;
    const submit = (workspace: string, more: object = {}, changed: object = {}) =>
      builds.submit(workspace, request({ ...spec, ...changed }, more), { signal });
    expect((await submit(workspaceId)).how).toBe('queued');
    expect((await submit(workspaceId)).how).toBe('shared');
    expect((await submit(`${workspaceId}b`)).how).toBe('queued');
    expect((await submit(workspaceId, {}, { labels: { a: 'b' } })).how).toBe('queued');
    const open = { hermetic: false };
    expect((await submit(workspaceId, {}, open)).how).toBe('queued');
    expect((await submit(workspaceId, {}, open)).how).toBe('queued');
    expect((await submit(workspaceId, { maxAgeMs: 60_000 }, open)).how).toBe('queued');
    expect((await submit(workspaceId, { maxAgeMs: 60_000 }, open)).how).toBe('shared');
    const missing = { context: { type: 'inline', dockerfile: 'FROM 127.0.0.1:1/none:1\n' } };
    expect((await submit(workspaceId, {}, missing)).how).toBe('queued');
    expect((await submit(workspaceId, {}, missing)).how).toBe('queued');
  });
});
