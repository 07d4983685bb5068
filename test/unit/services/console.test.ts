import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import type { CredentialSource } from '../../../src/registry/index.ts';
import { createConsole } from '../../../src/services/console/console.ts';
import { LiveView } from '../../../src/services/console/live-view.ts';
import { OrderedLines } from '../../../src/services/console/ordered-lines.ts';
import { plainText, showsPictures } from '../../../src/services/console/plain-text.ts';
import { TAG_NOTES, texts } from '../../../src/services/console/texts.ts';
import { confirmDeletion } from '../../../src/services/deleting/confirm.ts';
import { createdText, listedTags } from '../../../src/services/listing/list-images.ts';
import { sayListing, sayNotes } from '../../../src/services/listing/say-listing.ts';
import { missingPermissions, parseGithubToken, type TokenUse } from '../../../src/services/login/github-token.ts';
import { logIn } from '../../../src/services/login/log-in.ts';
import { planTags } from '../../../src/services/push/plan-tags.ts';
import type { RunRequest, ServiceResult } from '../../../src/services/run/process-service.ts';
import { failureOf, sayHeader, saySummary, waysOut } from '../../../src/services/run/run-services.ts';

function recorded({ debug = true, pictures = true } = {}) {
  const lines: string[] = [];
  return { lines, console: createConsole({ debug, pictures, write: (line) => lines.push(line) }) };
}

const REF = 'ghcr.io/milou-sh/milou/backend';
const A = `sha256:${'a'.repeat(64)}` as Digest;
const result = (service: string, more: Partial<ServiceResult> = {}): ServiceResult => ({
  service,
  reference: `ghcr.io/milou-sh/milou/${service}`,
  action: 'build',
  layer: 'context-hash',
  reason: '',
  contextHash: undefined,
  digest: A,
  tags: [],
  ...more,
});
const request: RunRequest = {
  version: '1.2.0',
  push: true,
  force: false,
  diffCheck: true,
  latest: 'auto',
  dryRun: false,
  explain: false,
  label: 'x',
};

describe('the console', () => {
  test('R003-12, R003-47: levels stand before the text, and [DEBUG] only where asked for', () => {
    const { console, lines } = recorded();
    console.say('plain');
    console.info('info');
    console.debug('debug');
    console.warning('warning');
    console.error('error');
    expect(lines).toEqual(['plain', '[INFO] info', '[DEBUG] debug', '[WARNING] warning', '[ERROR] error']);
    const quiet = recorded({ debug: false });
    quiet.console.debug('debug');
    expect(quiet.lines).toEqual([]);
  });

  test('R003-47: on a plain terminal the words stay and the pictures go', () => {
    expect(plainText(texts.skipping('frontend'))).toBe('Skipping frontend (up to date)');
    expect(plainText(texts.title())).toBe('Milou Docker Build & Push');
    expect(plainText(texts.latestPointsHere())).toBe("The 'latest' tag now points to this image");
    expect(plainText(texts.listedTag('latest', 'unknown'))).toBe('  - Tag: latest (created: unknown)');
    expect(plainText(texts.succeeded('backend 1'))).toBe('   Success: backend 1');
    expect([{ LANG: 'C.UTF-8' }, { LANG: 'C' }, { LANG: 'C.UTF-8', TERM: 'dumb' }, {}].map(showsPictures)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test('an answer of a registry steers no terminal', () => {
    const { console, lines } = recorded();
    console.error('bad \x1b[2J answer\x07');
    expect(lines).toEqual(['[ERROR] bad \u{fffd}[2J answer\u{fffd}']);
  });

  test('R003-28: the header', () => {
    const { console, lines } = recorded();
    sayHeader(console, { org: 'milou-sh', repo: 'milou', source: '/src/milou', version: '1.2.0' });
    expect(lines).toEqual([
      '🚀 Milou Docker Build & Push',
      'Organization: milou-sh',
      'Repository: milou',
      'Version: 1.2.0',
      'Building from: /src/milou',
    ]);
  });

  test('R003-20, R003-21, R003-29, R003-30, R003-31: every text is the design’s', () => {
    expect([
      texts.willMove('1.2.0'),
      texts.pushingLatest(`${REF}:latest`),
      texts.latestPointsHere(),
      texts.willCreate(['1.2.0', 'latest']),
      texts.loggingIn('ghcr.io'),
      texts.loggedIn('ghcr.io'),
      texts.processing('backend'),
      texts.building('backend'),
      texts.built(REF),
      texts.pushingTo('ghcr.io'),
      texts.pushing(REF),
      texts.pushed(REF),
    ]).toEqual([
      '💡 Tag behavior: Latest tag will move to version 1.2.0',
      `📤 Pushing ${REF}:latest (moving 'latest' tag)...`,
      "🏷️  The 'latest' tag now points to this image",
      '🏷️  Will create tags: 1.2.0 and latest',
      '🔐 Logging in to GHCR...',
      '✅ Successfully logged in to GHCR',
      '📦 Processing backend...',
      '🔨 Building backend...',
      `✅ Successfully built ${REF}`,
      '🚀 Pushing to GHCR...',
      `📤 Pushing ${REF}...`,
      `✅ Successfully pushed ${REF}`,
    ]);
  });

  test('R003-32, R003-33, R003-34, R003-35: the summary', () => {
    const { console, lines } = recorded();
    const tags = [
      { tag: '1.2.0', outcome: 'pushed' },
      { tag: 'latest', outcome: 'pushed' },
    ] as const;
    const done = [result('backend', { tags }), result('frontend', { action: 'skip' })];
    saySummary(console, { done, failed: [] }, request);
    expect(lines).toEqual([
      '📊 Build Summary:',
      '   ✅ Success: backend',
      '   ⏭️  Skipped: frontend',
      '🎉 All operations completed successfully!',
      '📋 Published images:',
      `   • ${REF}:1.2.0`,
      `   • ${REF}:latest (moved to 1.2.0)`,
      '💡 Use --list-images to see all tags in the registry',
    ]);
  });

  test('R003-33: nothing is a success while a service failed, and the command ends with its code', () => {
    const { console, lines } = recorded();
    const error = new WorkerError('BUILD_STEP_FAILED', 'step 2 failed');
    const ran = { done: [result('backend')], failed: [{ service: 'engine', error }] };
    saySummary(console, ran, request);
    expect(lines).toContain('   ❌ Failed: engine');
    expect(lines.join()).not.toContain('🎉');
    expect(failureOf(ran)).toMatchObject({
      code: 'BUILD_STEP_FAILED',
      message: '1 of 2 services failed (engine); engine: step 2 failed',
    });
  });

  test('R003-36, R003-37: the listing and its notes', () => {
    const { console, lines } = recorded();
    const createdMs = Date.parse('2024-01-15T10:30:59Z');
    sayListing(console, { service: 'backend', tags: [{ tag: 'latest', digest: A, createdMs }] });
    sayListing(console, { service: 'engine', tags: [] });
    sayNotes(console);
    expect([texts.listing('ghcr.io'), ...lines]).toEqual([
      '📋 Listing images in GHCR with tags...',
      '📦 backend images:',
      '  • Tag: latest (created: 2024-01-15 10:30)',
      '📦 engine images:',
      '  (no tags)',
      '💡 Tag Management Notes:',
      ...TAG_NOTES.map((note) => `  • ${note}`),
    ]);
  });

  test('lines of services side by side come one service after another', () => {
    const lines: string[] = [];
    const ordered = new OrderedLines((line) => lines.push(line));
    const [one, two, three] = [ordered.writer(), ordered.writer(), ordered.writer()];
    two.write('2a', 'plain');
    one.write('1a', 'plain');
    three.write('3a', 'plain');
    two.end();
    expect(lines).toEqual(['1a']);
    one.write('1b', 'plain');
    one.end();
    expect(lines).toEqual(['1a', '1b', '2a', '3a']);
    three.end();
  });

  test('the live view shows what runs, and leaves nothing behind', async () => {
    const output = new PassThrough();
    const said = text(output);
    const live = new LiveView({ output: Object.assign(output, { columns: 60 }), now: () => 0 });
    live.start('backend');
    live.apply('backend', { type: 'phase', phase: 'packing', state: 'started' });
    live.aside(() => output.write('stays\n'));
    live.end('backend');
    live[Symbol.dispose]();
    output.end();
    const screen = await said;
    expect(screen).toContain('backend  packing 0 s');
    expect(screen).toContain('stays\n');
    expect(screen.endsWith('\x1b[1A\x1b[0J')).toBe(true);
  });
});

describe('tags', () => {
  test.for<[version: string | undefined, existing: string[], tags: string[]]>([
    [undefined, ['9.9.9'], ['latest']],
    ['1.2.0', [], ['1.2.0', 'latest']],
    ['1.2.0', ['1.1.0', 'latest'], ['1.2.0', 'latest']],
    ['1.10.0', ['1.9.0'], ['1.10.0', 'latest']],
    ['1.1.1', ['1.2.0'], ['1.1.1']],
    ['1.3.0-rc.1', ['1.2.0'], ['1.3.0-rc.1']],
    ['1.2.1', ['2029.1.9', '1.2.0'], ['1.2.1', 'latest']],
    ['1.2.0', ['1.3.0-rc.1'], ['1.2.0', 'latest']],
    ['v1.2.0', ['v1.3.0'], ['v1.2.0']],
  ])('C2, R003-3: version %s beside %j gets %j', ([version, existing, tags]) => {
    expect(planTags({ version, existing, latest: 'auto' }).tags).toEqual(tags);
  });

  test('C5, R003-45: v1.2.0 is kept as given, and is told when the others have no v', () => {
    const { tags, warnings } = planTags({ version: 'v1.2.0', existing: ['1.1.0', 'latest'], latest: 'auto' });
    expect(tags).toEqual(['v1.2.0', 'latest']);
    expect(warnings).toEqual(['v1.2.0 is kept as given, but the other versions are written without v (1.1.0)']);
    expect(planTags({ version: 'v1.2.0', existing: ['v1.1.0'], latest: 'auto' }).warnings).toEqual([]);
  });
});

describe('listing', () => {
  const entry = (tag: string, kind: 'version' | 'moving' | 'digest', digest: string) =>
    [tag, { tag, kind, digest: digest as Digest }] as const;

  test('C9, D33, D43, R003-38: latest, then the newest; unknown times last; no digest tags', () => {
    const tags = new Map([
      entry('1.0.0', 'version', 'a'),
      entry('1.9.0', 'version', 'c'),
      entry('1.10.0', 'version', 'c'),
      entry('latest', 'moving', 'a'),
      entry('old', 'version', 'x'),
      entry('sha256-0', 'digest', 'b'),
    ]);
    const manifests = new Map(
      [
        ['a', 1000],
        ['c', 2000],
      ].map(([digest, createdMs]) => [digest, { createdMs }]),
    );
    expect(listedTags({ tags, manifests } as never).map(({ tag }) => tag)).toEqual([
      'latest',
      '1.10.0',
      '1.9.0',
      '1.0.0',
      'old',
    ]);
    expect([createdText(undefined), createdText(Number.NaN)]).toEqual(['unknown', 'unknown']);
  });
});

describe('R003-40: deleting is confirmed word for word', () => {
  const typing = (...answers: string[]) => ({ ask: () => Promise.resolve(answers.shift() ?? '') });

  test.for([['y'], ['YES'], ['Yes'], [' yes'], ['yes '], ['']])('D38: "%s" is not yes', async ([answer = '']) => {
    await expect(
      confirmDeletion({ terminal: typing(answer, 'DELETE'), imageCount: 1, all: undefined }),
    ).rejects.toMatchObject({ code: 'NOT_CONFIRMED' });
  });

  test.for([['delete'], ['DELETE '], ['yes'], ['']])('D38: "%s" is not DELETE', async ([answer = '']) => {
    await expect(
      confirmDeletion({ terminal: typing('yes', answer), imageCount: 1, all: undefined }),
    ).rejects.toMatchObject({ code: 'NOT_CONFIRMED' });
  });

  test('R003-41: without a terminal there is no way', async () => {
    await expect(confirmDeletion({ terminal: undefined, imageCount: 1, all: undefined })).rejects.toMatchObject({
      code: 'TERMINAL_REQUIRED',
    });
  });

  test('all services need the name, too', async () => {
    const all = { name: 'acme/shop' };
    await confirmDeletion({ terminal: typing('yes', 'acme/shop', 'DELETE'), imageCount: 9, all });
    await expect(confirmDeletion({ terminal: typing('yes', 'DELETE'), imageCount: 9, all })).rejects.toMatchObject({
      code: 'NOT_CONFIRMED',
    });
  });
});

describe('the token', () => {
  test.for([
    [`ghp_${'a'.repeat(36)}`],
    [`ghs_${'a'.repeat(36)}`],
    [`ghs_${'aB3.-_'.repeat(90)}`],
    [`github_pat_${'a'.repeat(82)}`],
    ['0123456789abcdef0123456789abcdef01234567'],
  ])('R003-15: %s has the form of one', ([token = '']) => {
    expect(parseGithubToken(` ${token}\n`).reveal()).toBe(token);
  });

  test.for([['hunter2'], ['ghp_short'], [''], [`ghx_${'a'.repeat(36)}`], [`ghp_${'a'.repeat(30)} b`]])(
    'R003-15: "%s" is none, and is not repeated',
    ([token = '']) => {
      expect(() => parseGithubToken(token)).toThrow(expect.objectContaining({ code: 'GITHUB_TOKEN_INVALID' }));
      if (token !== '') expect(() => parseGithubToken(token)).not.toThrow(token);
    },
  );

  test.for<[scopes: string[], use: TokenUse, missing: string[]]>([
    [['write:packages'], 'push', []],
    [['write:packages'], 'list', []],
    [['read:packages', 'repo'], 'push', ['write:packages']],
    [['write:packages', 'delete:packages'], 'delete', []],
    [['delete:packages'], 'delete', ['write:packages', 'read:packages']],
    [[], 'list', ['read:packages']],
  ])('R003-16: a token with %j that is to %s lacks %j', ([scopes, use, missing]) => {
    expect(missingPermissions(scopes, use)).toEqual(missing);
  });

  test('R003-16: the three permissions are explained before anybody is asked', async () => {
    const { console, lines } = recorded();
    const none = { get: () => Promise.resolve(undefined) };
    const end = logIn({
      console,
      registry: 'ghcr.io',
      env: {},
      org: 'acme',
      others: none,
      ask: undefined,
      connect: () => {
        throw new Error('asked');
      },
      signal: new AbortController().signal,
    });
    await expect(end).rejects.toMatchObject({ code: 'GITHUB_TOKEN_INVALID' });
    for (const permission of ['write:packages', 'read:packages', 'delete:packages'])
      expect(lines.join('\n')).toContain(permission);
  });
});

test.for<[env: Record<string, string>, username: string]>([
  [{}, 'acme'],
  [{ GITHUB_USERNAME: '' }, 'acme'],
  [{ GITHUB_USERNAME: 'octocat' }, 'octocat'],
])('R003-14: with %j the user is %s', async ([env, username]) => {
  const signal = new AbortController().signal;
  let given: CredentialSource | undefined;
  const end = logIn({
    console: recorded().console,
    registry: 'ghcr.io',
    env: { GITHUB_TOKEN: `ghp_${'a'.repeat(36)}`, ...env },
    org: 'acme',
    others: { get: () => Promise.resolve(undefined) },
    ask: undefined,
    connect: (credentials) => {
      given = credentials;
      throw new Error('no registry is needed here');
    },
    signal,
  });
  await expect(end).rejects.toThrow('no registry is needed here');
  expect(await given?.get('ghcr.io', { signal })).toMatchObject({ kind: 'basic', username });
  // The token goes to its registry alone.
  expect(await given?.get('quay.io', { signal })).toBeUndefined();
});

test('R003-46: each trouble has a way out that names the option', () => {
  expect(waysOut(new WorkerError('INVENTORY_INCOMPLETE', '')).join()).toContain('CLIPYARD_LOG=debug');
  const way = (code: 'REGISTRY_DENIED' | 'CONTEXT_NOT_FOUND' | 'TAG_PERMANENT') =>
    waysOut(new WorkerError(code, ''), { contextDir: '/src/milou/backend' }).join();
  expect(way('REGISTRY_DENIED')).toContain('GITHUB_TOKEN');
  expect(way('CONTEXT_NOT_FOUND')).toContain('/src/milou/backend');
  expect(way('TAG_PERMANENT')).toContain('--version');
  expect(texts.notMoved('1.2.0 is higher')).toContain('--latest=always');
  expect(texts.listHint()).toContain('--list-images');
});
