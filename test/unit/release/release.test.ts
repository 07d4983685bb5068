import { describe, expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import {
  applyPlan,
  classifyRelease,
  decideSource,
  parseReleaseDocument,
  planRelease,
  RELEASE_LINES,
  type ReleaseContext,
  type ReleaseRequest,
  release,
  releaseDocument,
  releaseRepository,
  requireVersionTag,
  undoRelease,
} from '../../../src/release/index.ts';
import { type Call, MemoryRelease, requestFor } from '../../support/release/memory-release.ts';
import { checkHistories } from '../../support/release/release-model.ts';

const COMMIT = 'abc123def';

/** A registry that has the commit's image, and what a release said. */
function stage({ hasCommit = true }: { hasCommit?: boolean } = {}) {
  const memory = new MemoryRelease();
  const image = memory.addImage('the commit');
  if (hasCommit) memory.tags.set(COMMIT, image);
  const lines: string[] = [];
  const context = (given: Parameters<MemoryRelease['context']>[0] = {}) =>
    memory.context({ say: (line) => lines.push(line), ...given });
  const run = async (given: Partial<ReleaseRequest> = {}, with_: ReleaseContext = context()) =>
    await release(requestFor({ commit: COMMIT, ...given }), with_);
  const puts = () => memory.calls.filter(({ what }) => what === 'put').map(({ name }) => name);
  return { memory, image, lines, context, run, puts };
}

/** Fails the first `times` calls of a kind, for good (no client would try again). */
function failing(memory: MemoryRelease, match: (call: Call) => boolean, times = Number.POSITIVE_INFINITY): void {
  let left = times;
  memory.before = (call) => {
    if (!match(call) || left-- <= 0) return;
    throw new WorkerError('REGISTRY_REFUSED', `${call.what} ${call.name}: 500`);
  };
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (thrown) {
    return thrown instanceof WorkerError ? thrown.code : String(thrown);
  }
  return 'no error';
};

describe('R000-27: the six behaviours', () => {
  test('R000-27: test_check_image_exists_in_registry', async () => {
    const { lines, memory, run } = stage();
    await run();
    expect(memory.calls.find(({ what }) => what !== 'read-ledger')).toEqual({ what: 'head', name: COMMIT });
    expect(lines[0]).toMatch(/^✅ Found existing image for commit abc123d: /);
  });

  test('R000-27: test_tag_existing_image_success', async () => {
    const { image, lines, memory, run } = stage();
    expect(await run()).toMatchObject({ how: 'retagged', digest: image });
    expect([memory.tags.get('v1.0.0'), memory.tags.get('latest')]).toEqual([image, image]);
    expect(classifyRelease(lines)).toBe('optimized');
  });

  test('R000-27: test_tag_existing_image_fallback', async () => {
    const { memory, run } = stage();
    // What tags is missing altogether: nothing can be put under a tag, at first.
    failing(memory, ({ what }) => what === 'put', 1);
    expect(await run()).toMatchObject({ how: 'rebuilt' });
  });

  test('R000-27: test_tag_and_push_image_reuses_existing_commit_image', async () => {
    const { memory, run } = stage();
    await run();
    expect(memory.calls.some(({ what }) => what === 'build')).toBe(false);
  });

  test('R000-27: test_tag_and_push_image_builds_when_commit_image_missing', async () => {
    const { memory, puts, run } = stage({ hasCommit: false });
    expect(await run()).toMatchObject({ how: 'built' });
    expect(puts()).toEqual([COMMIT, 'v1.0.0', 'latest']);
    expect(new Set(memory.tags.values()).size).toBe(1);
  });

  test('R000-27: test_tag_and_push_image_fallback_on_tagging_failure', async () => {
    const { lines, memory, run } = stage();
    failing(memory, ({ what }) => what === 'put', 1);
    await run();
    expect(memory.calls.filter(({ what }) => what === 'build')).toHaveLength(1);
    expect(classifyRelease(lines)).toBe('fallback');
  });
});

describe('log lines', () => {
  test('R000-13, R000-14, R000-15, R000-16, R000-25: a re-tag says', async () => {
    const { lines, run } = stage();
    await run();
    expect(lines).toEqual([
      '✅ Found existing image for commit abc123d: ghcr.io/owner/demo-hello_python:abc123def',
      'Optimizing: Re-tagging existing image instead of rebuilding',
      '✅ Tagged with v1.0.0',
      '✅ Tagged with latest',
      'Successfully tagged hello_python v1.0.0 from existing commit image',
    ]);
    expect(RELEASE_LINES.willRetag()).toBe('✅ Found existing image - will re-tag');
  });

  test('R000-17, R000-18, R000-19, R000-20, R000-21: a build says', async () => {
    const { lines, run } = stage({ hasCommit: false });
    await run();
    expect(lines).toEqual([
      'No existing image found for commit abc123d, will build',
      'Building OCI image index with platform transitions...',
      '✅ Built OCI image index containing 2 platform variants',
      'Pushing OCI image index with 3 tags...',
      'Successfully pushed hello_python v1.0.0',
    ]);
  });

  test('R000-22, R000-23, R000-24: a fallback says', async () => {
    const { lines, memory, run } = stage();
    failing(memory, ({ what }) => what === 'put', 1);
    await run();
    expect(lines.slice(2)).toEqual([
      'Failed to tag existing image, falling back to rebuild: put v1.0.0: 500',
      'Rebuilding image...',
      'Building OCI image index with platform transitions...',
      '✅ Built OCI image index containing 2 platform variants',
      'The image of commit abc123d can be read again: it is released, not the rebuilt one',
      'Pushing OCI image index with 3 tags...',
      'Successfully pushed hello_python v1.0.0 (after fallback)',
    ]);
  });

  test('R000-29: the last lines tell the three groups apart', () => {
    const { failed, pushed, pushedAfterFallback, retagged } = RELEASE_LINES;
    expect(classifyRelease([retagged('web', 'v1')])).toBe('optimized');
    expect(classifyRelease([pushed('web', 'v1')])).toBe('built');
    expect(classifyRelease([failed('x'), pushedAfterFallback('web', 'v1')])).toBe('fallback');
    expect(classifyRelease([failed('x')])).toBe('failed');
  });

  test('C1: the found line carries the reference, in a fallback too', async () => {
    const { lines, memory, run } = stage();
    failing(memory, ({ what }) => what === 'put', 1);
    await run();
    expect(lines[0]).toBe('✅ Found existing image for commit abc123d: ghcr.io/owner/demo-hello_python:abc123def');
  });
});

describe('what is asked for', () => {
  test('R000-1: a release is of an app, a version and maybe a commit', async () => {
    const { memory, run } = stage();
    await run({ app: 'web', version: 'v2.0.0', commit: undefined });
    expect([...memory.tags.keys()]).toEqual([COMMIT, 'v2.0.0', 'latest']);
  });

  test('R000-2: without a commit nothing is looked up, and it is always built', async () => {
    const { memory, run } = stage();
    expect(await run({ commit: undefined })).toMatchObject({ how: 'built' });
    expect(memory.calls.findIndex(({ what }) => what === 'head')).toBeGreaterThan(
      memory.calls.findIndex(({ what }) => what === 'build'),
    );
    expect(memory.calls.some(({ name }) => name === COMMIT)).toBe(false);
  });

  test.for<[title: string, name: Parameters<typeof releaseRepository>[0], text: string]>([
    [
      'the sample',
      { registry: 'ghcr.io', owner: 'owner', domain: 'demo', app: 'hello_python' },
      'ghcr.io/owner/demo-hello_python',
    ],
    [
      'capitals of an owner',
      { registry: '127.0.0.1:5000', owner: 'OwNer', domain: 'demo', app: 'a' },
      '127.0.0.1:5000/owner/demo-a',
    ],
  ])('R000-4: the repository of %s', ([, name, text]) => {
    const { registry, repository } = releaseRepository(name);
    expect(`${registry}/${repository}`).toBe(text);
  });

  test.for<[part: string, value: string]>([
    ['app', ''],
    ['app', 'Web'],
    ['app', 'a/b'],
    ['app', 'a:1'],
    ['domain', 'a b'],
    ['owner', ''],
    ['registry', 'no-host'],
    ['registry', ''],
  ])('R000-4: a name with %s %j is refused', ([part, value]) => {
    const name = { registry: 'ghcr.io', owner: 'o', domain: 'd', app: 'a', [part]: value };
    expect(() => releaseRepository(name)).toThrow(expect.objectContaining({ code: 'RELEASE_NAME_INVALID' }));
  });

  test.for(['1.2.3+b1', '-1', '.1', 'a b', '', 'latest', 'x'.repeat(129)])(
    'D6: version %j is no tag of a release',
    (version) => {
      expect(() => requireVersionTag(version)).toThrow(expect.objectContaining({ code: 'RELEASE_TAG_INVALID' }));
    },
  );

  test('R000-10: rebuilt unless a commit is given, known and present', () => {
    const present = { state: 'present', digest: stage().image } as const;
    const unknown = { state: 'unknown', error: new WorkerError('REGISTRY_DENIED', '403') } as const;
    expect(decideSource(COMMIT, present)).toBe('retag');
    expect(decideSource(COMMIT, { state: 'absent' })).toBe('build');
    expect(decideSource(COMMIT, unknown)).toBe('build');
    expect(decideSource(undefined, undefined)).toBe('build');
    expect(decideSource(undefined, present)).toBe('build');
  });

  test('R000-28: a commit of 40 characters is looked up as it is and told with 7', async () => {
    const { image, lines, memory, run } = stage();
    const long = '860c1904a1ce19322e91ac35af1ab07466440c37';
    memory.tags.set(long, image);
    await run({ commit: long });
    expect(lines[0]).toBe(`✅ Found existing image for commit 860c190: ghcr.io/owner/demo-hello_python:${long}`);
  });
});

describe('which image, which tags', () => {
  test('R000-6: a re-tag writes version and latest, and leaves the commit', async () => {
    const { puts, run } = stage();
    await run();
    expect(puts()).toEqual(['v1.0.0', 'latest']);
  });

  test('R000-12: a fallback sets all tags on one image', async () => {
    const { image, lines, memory, run } = stage();
    failing(memory, ({ what }) => what === 'put', 1);
    await run();
    expect([...memory.tags]).toEqual([
      [COMMIT, image],
      ['v1.0.0', image],
      ['latest', image],
    ]);
    expect(lines).toContain('Pushing OCI image index with 3 tags...');
  });

  test('C2: an older line moves its version alone, says so and succeeds; always moves latest', async () => {
    const { image, lines, memory, run } = stage();
    await run({ version: 'v1.2.0' });
    const other = memory.addImage('hotfix');
    memory.tags.set('fffffff', other);
    await run({ version: 'v1.1.1', commit: 'fffffff' });
    expect([memory.tags.get('v1.1.1'), memory.tags.get('latest')]).toEqual([other, image]);
    expect(lines).toContain('latest not moved: v1.2.0 is higher');
    expect(lines).not.toContain('✅ Tagged with latest extra');
    await run({ version: 'v1.1.2', commit: 'fffffff', latest: 'always' });
    expect(memory.tags.get('latest')).toBe(other);
    await run({ version: 'v3.0.0', latest: 'never' });
    expect(memory.tags.get('latest')).toBe(other);
  });

  test('D1: a prerelease gets its version and leaves latest', async () => {
    const { memory, run } = stage();
    await run({ version: 'v1.0.0-rc.1' });
    expect([memory.tags.has('v1.0.0-rc.1'), memory.tags.has('latest')]).toEqual([true, false]);
  });

  test('C10, D15: only 404 says that there is no image; what is unknown is said and built', async () => {
    const { image, lines, memory, run } = stage();
    failing(memory, ({ what, name }) => what === 'head' && name === COMMIT, 1);
    expect(await run()).toMatchObject({ how: 'built', digest: image });
    expect(lines[0]).toBe('Could not look up the image of commit abc123d, will build: head abc123def: 500');
    expect(lines.join('\n')).not.toContain('No existing image found');
    // The commit's image was there all along: version and commit stay one image.
    expect(memory.tags.get('v1.0.0')).toBe(memory.tags.get(COMMIT));
  });

  test('C11, D18: what was half written is resumed with the same image, not rebuilt', async () => {
    const { image, lines, memory, run } = stage();
    failing(memory, ({ what, name }) => what === 'put' && name === 'latest', 1);
    expect(await run()).toMatchObject({ how: 'retagged', digest: image });
    expect(memory.calls.some(({ what }) => what === 'build')).toBe(false);
    expect(lines).toContain('Some tags are written already; writing the missing ones: put latest: 500');
    expect(lines.filter((line) => line === '✅ Tagged with v1.0.0')).toHaveLength(1);
    expect(memory.tags.get('latest')).toBe(image);
  });

  test('C11: tags that cannot be completed are an error that another run mends', async () => {
    const { image, memory, run } = stage();
    failing(memory, ({ what, name }) => what === 'put' && name === 'latest');
    expect(await codeOf(run())).toBe('RELEASE_INCOMPLETE');
    memory.before = () => undefined;
    expect((await run()).tags).toMatchObject([{ action: 'unchanged' }, { action: 'write' }]);
    expect(memory.tags.get('latest')).toBe(image);
  });

  test('C11: a released version never moves, by re-tag, fallback or build', async () => {
    const { image, memory, run } = stage();
    await run();
    memory.tags.set('fffffff', memory.addImage('other'));
    expect(await codeOf(run({ commit: 'fffffff' }))).toBe('TAG_PERMANENT');
    expect(await codeOf(run({ commit: undefined, latest: 'always' }))).toBe('TAG_PERMANENT');
    // Nor where its tag was deleted: it was released as another image.
    memory.tags.delete('v1.0.0');
    expect(await codeOf(run({ commit: 'fffffff' }))).toBe('TAG_PERMANENT');
    expect(memory.tags.get('latest')).toBe(image);
  });

  test('a commit whose manifest is gone is built and tagged anew', async () => {
    const { image, memory, run } = stage();
    memory.manifests.delete(image);
    const { digest, how } = await run();
    expect(how).toBe('rebuilt');
    expect([...new Set(memory.tags.values())]).toEqual([digest]);
  });

  test('a commit whose manifest is gone and whose tag another release mended meanwhile is left alone', async () => {
    const { image, memory, run } = stage();
    memory.manifests.delete(image);
    const other = memory.addImage('mended');
    memory.before = ({ what }) => {
      if (what === 'write-ledger' && memory.calls.some((call) => call.what === 'build')) memory.tags.set(COMMIT, other);
    };
    expect(await codeOf(run())).toBe('TAG_PERMANENT');
    expect([memory.tags.get(COMMIT), memory.tags.has('v1.0.0')]).toEqual([other, false]);
  });

  test('an image that was a candidate and a release holds latest by its release', async () => {
    const { image, memory, run } = stage();
    await run({ version: 'v2.1.2-rc.1' });
    await run({ version: 'v1.10.1' });
    memory.tags.delete('v1.10.1');
    memory.tags.set('fffffff', memory.addImage('older'));
    await run({ version: 'v1.1.2', commit: 'fffffff' });
    expect(memory.tags.get('latest')).toBe(image);
  });

  test('D16: the source is resolved once', async () => {
    const { memory, run } = stage();
    await run();
    expect(memory.calls.filter(({ what, name }) => what === 'head' && name === COMMIT)).toHaveLength(1);
    expect(memory.calls.filter(({ what }) => what === 'get')).toHaveLength(1);
  });

  test('D17: when the version cannot be written latest stays', async () => {
    const { memory, run } = stage();
    failing(memory, ({ what, name }) => what === 'put' && name === 'v1.0.0');
    expect(await codeOf(run())).toBe('REGISTRY_REFUSED');
    expect(memory.tags.has('latest')).toBe(false);
  });

  test('D21: who changes a tag between plan and write is not overwritten', async () => {
    const { memory, run } = stage();
    const other = memory.addImage('another releaser');
    memory.before = ({ what, name }) => {
      if (what === 'put' && name === 'v1.0.0') memory.tags.set('latest', other);
    };
    expect(await codeOf(run())).toBe('TAG_CHANGED');
    expect(memory.tags.get('latest')).toBe(other);
  });

  test('D21: one release waits for another of the same repository, and takes over from a dead one', async () => {
    const { context, memory, run } = stage();
    const lock = { id: 'other', host: 'here', pid: 7, startedAt: '7', untilMs: Number.MAX_SAFE_INTEGER };
    memory.ledger = { content: { v: 1, releases: {}, lock }, etag: 1 };
    let waits = 0;
    const waiting = context({
      before: ({ what }) => {
        if (what !== 'sleep' || ++waits < 3) return;
        const { lock: _given, ...content } = memory.ledger.content;
        memory.ledger = { content, etag: memory.ledger.etag + 1 };
      },
    });
    await run({}, waiting);
    expect(waits).toBe(3);
    memory.ledger = { content: { ...memory.ledger.content, lock }, etag: 9 };
    await run({ version: 'v1.0.1' }, context({ hasEnded: ({ pid }) => pid === 7 }));
    expect(memory.ledger.content.lock).toBeUndefined();
  });

  test('D32: the same release again writes nothing', async () => {
    const { memory, puts, run } = stage();
    await run();
    memory.calls.length = 0;
    expect((await run()).tags.map(({ action }) => action)).toEqual(['unchanged', 'unchanged']);
    expect(puts()).toEqual([]);
  });

  test('a release without commit that died between its tags is ended with its own image', async () => {
    const { lines, memory, run } = stage({ hasCommit: false });
    memory.before = ({ what, name }) => {
      if (what === 'put' && name === 'latest') throw new Error('dead');
    };
    await run({ commit: undefined }).catch(() => undefined);
    const released = memory.tags.get('v1.0.0');
    memory.before = () => undefined;
    expect(await run({ commit: undefined })).toMatchObject({ how: 'resumed', digest: released });
    expect(memory.tags.get('latest')).toBe(released);
    expect(lines.at(-1)).toBe('Successfully pushed hello_python v1.0.0');
  });
});

describe('plan, apply, undo', () => {
  test('a plan names each tag, what it is and will be, and why; it only reads', async () => {
    const { context, image, memory } = stage();
    const { document } = await planRelease(requestFor({ commit: COMMIT }), context());
    expect(document).toMatchObject({
      source: image,
      tags: [
        { tag: 'v1.0.0', kind: 'version', before: null, after: image, action: 'write', reason: 'new' },
        { tag: 'latest', kind: 'latest', before: null, after: image, action: 'write', reason: 'the first release' },
      ],
    });
    expect(new Set(memory.calls.map(({ what }) => what))).toEqual(new Set(['head', 'tags', 'read-ledger']));
    expect(parseReleaseDocument(JSON.stringify(document))).toEqual(document);
  });

  test('apply does what was planned, and again what is missing of it', async () => {
    const { context, image, memory, puts } = stage();
    const { document } = await planRelease(requestFor({ commit: COMMIT }), context());
    await applyPlan(document, context());
    expect(puts()).toEqual(['v1.0.0', 'latest']);
    memory.tags.delete('latest');
    await applyPlan(document, context());
    expect([puts(), memory.tags.get('latest')]).toEqual([['v1.0.0', 'latest', 'latest'], image]);
  });

  test.for<[title: string, move: (memory: MemoryRelease) => void]>([
    ['latest moved', (memory) => memory.tags.set('latest', memory.addImage('x'))],
    ['a higher version came', (memory) => memory.tags.set('v9.0.0', memory.addImage('x'))],
    ['the commit is another image', (memory) => memory.tags.set(COMMIT, memory.addImage('x'))],
    ['the commit is gone', (memory) => memory.tags.delete(COMMIT)],
  ])('apply refuses when the world moved: %s', async ([, move]) => {
    const { context, memory, puts } = stage();
    const { document } = await planRelease(requestFor({ commit: COMMIT }), context());
    move(memory);
    expect(await codeOf(applyPlan(document, context()))).toBe('RELEASE_PLAN_STALE');
    expect(puts()).toEqual([]);
  });

  test('a plan without image is built when it is applied', async () => {
    const { context, memory } = stage({ hasCommit: false });
    const { document } = await planRelease(requestFor({ commit: COMMIT }), context());
    expect(document).toMatchObject({ source: null, tags: [{ tag: COMMIT, after: null }, {}, {}] });
    expect(await applyPlan(document, context())).toMatchObject({ how: 'built' });
    expect([...memory.tags.keys()]).toEqual([COMMIT, 'v1.0.0', 'latest']);
  });

  test('undo puts latest back, leaves versions, and refuses what another release moved', async () => {
    const { context, image, memory, run } = stage();
    await run();
    memory.tags.set('fffffff', memory.addImage('second'));
    const request = requestFor({ version: 'v1.1.0', commit: 'fffffff' });
    const record = releaseDocument(request, await run(request), 0);
    const again = parseReleaseDocument(JSON.stringify(record));
    expect(await undoRelease(again, { isDryRun: true }, context())).toMatchObject([{ action: 'restore' }]);
    expect(memory.tags.get('latest')).not.toBe(image);
    expect(await undoRelease(again, { isDryRun: false }, context())).toMatchObject([
      { after: image, action: 'restore' },
    ]);
    expect(memory.tags.get('latest')).toBe(image);
    expect(memory.tags.get('v1.1.0')).not.toBe(image);
    expect(await undoRelease(again, { isDryRun: false }, context())).toMatchObject([{ action: 'unchanged' }]);
    memory.tags.set('latest', memory.addImage('third'));
    expect(await codeOf(undoRelease(again, { isDryRun: false }, context()))).toBe('RELEASE_PLAN_STALE');
  });

  test('undo leaves latest to a higher version of the same image', async () => {
    const { context, image, memory, run } = stage();
    const record = releaseDocument(requestFor(), await run(), 0);
    await run(requestFor({ version: 'v1.1.0', commit: COMMIT }));
    expect(await codeOf(undoRelease(record, { isDryRun: false }, context()))).toBe('RELEASE_PLAN_STALE');
    expect(memory.tags.get('latest')).toBe(image);
  });

  test('undo of the first release removes latest', async () => {
    const { context, memory, run } = stage();
    const record = releaseDocument(requestFor(), await run(), 0);
    expect(await undoRelease(record, { isDryRun: false }, context())).toMatchObject([{ action: 'remove' }]);
    expect([...memory.tags.keys()]).toEqual([COMMIT, 'v1.0.0']);
  });

  test.for<[text: string, message: RegExp]>([
    ['', /^the file is empty$/],
    ['{', /is no JSON/],
    ['[]', /no plan of `release plan`, .*: it takes names with values/],
    ['{"v":2}', /: v: it is one of 1, not 2$/],
    ['{"v":1,"kind":"clipyard-release"}', /: app: it is missing$/],
    [`{"v":1,"x":"${'y'.repeat(2 << 20)}"}`, /^more than/],
  ])('a file that is no plan is refused, and why is said: %#', ([text, message]) => {
    expect(() => parseReleaseDocument(text)).toThrow(message);
    expect(() => parseReleaseDocument(text)).toThrow(expect.objectContaining({ code: 'RELEASE_PLAN_INVALID' }));
  });

  test('a record is no plan to apply', async () => {
    const { context, run } = stage();
    const record = releaseDocument(requestFor(), await run(), 0);
    expect(await codeOf(applyPlan(record, context()))).toBe('RELEASE_PLAN_INVALID');
  });
});

test('D2, D21: in random histories no moving tag goes down and no permanent tag changes', async () => {
  const report = await checkHistories(1000, 20_261_121);
  expect(report.violations).toEqual([]);
  expect(report.overlapping).toBeGreaterThan(500);
  expect(report.killed).toBeGreaterThan(50);
  expect(report.deletions).toBeGreaterThan(50);
});
