import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { baseReferences } from '../../../src/buildkit/index.ts';
import { buildKey, type KeyParts } from '../../../src/worker/key/build-key.ts';

const PARTS: KeyParts = {
  workspaceId: 'team',
  imageId: 'app',
  repository: 'r.example/images',
  context: 'sha256:aa',
  subdirectory: undefined,
  namedContexts: { other: 'uploaded:sha256:bb', more: 'docker-image://x' },
  dockerfile: undefined,
  target: undefined,
  platforms: ['linux/amd64', 'linux/arm64'],
  buildArgs: { A: '1', B: '2' },
  labels: { l: 'm' },
  secrets: { token: 'v1' },
  ssh: ['default', 'other'],
  network: 'default',
  noCache: false,
  cacheFrom: ['r.example/c:1', 'r.example/c:2'],
  cacheTo: [],
  attest: ['provenance', 'sbom'],
  compression: { codec: 'zstd', level: 1, chunkBytes: 262144 },
  archiveFormat: 'clipyard',
  alsoAs: undefined,
  hermetic: true,
  pinned: { 'docker.io/library/debian:12': 'sha256:cc' },
  sourcePolicy: [{ action: 'deny', sources: '*' }],
};

/** Another value of the same kind. */
function changed(value: unknown): unknown {
  if (value === undefined) return '';
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'string') return `${value}x`;
  if (Array.isArray(value)) return (value as unknown[]).concat(value[0] ?? 'x');
  return { ...(value as object), another: 'x' };
}

describe('the key of a build', () => {
  test.for(Object.keys(PARTS))('another %s is another key', (name) => {
    const value = PARTS[name as keyof KeyParts];
    expect(buildKey({ ...PARTS, [name]: changed(value) })).not.toBe(buildKey(PARTS));
    if (typeof value === 'object' && !Array.isArray(value)) {
      for (const [key, each] of Object.entries(value)) {
        const other = Object.fromEntries([...Object.entries(value), [key, changed(each)]]);
        expect(buildKey({ ...PARTS, [name]: other })).not.toBe(buildKey(PARTS));
      }
    }
  });

  test('the order of maps and sets says nothing, that of lists does', () => {
    const turned = Object.fromEntries(Object.entries(PARTS).toReversed()) as unknown as KeyParts;
    const maps = {
      buildArgs: { B: '2', A: '1' },
      namedContexts: { more: 'docker-image://x', other: 'uploaded:sha256:bb' },
    };
    expect(buildKey({ ...turned, ...maps, ssh: ['other', 'default'], attest: ['sbom', 'provenance'] })).toBe(
      buildKey(PARTS),
    );
    expect(buildKey({ ...PARTS, platforms: PARTS.platforms.toReversed() })).not.toBe(buildKey(PARTS));
  });

  test('no two maps look the same, whatever their names and values', () => {
    const map = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), {
      maxKeys: 4,
      noNullPrototype: false,
    });
    fc.assert(
      fc.property(map, map, (one, other) => {
        const pairs = (each: object) => JSON.stringify(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)));
        const [left, right] = [one, other].map((buildArgs) => buildKey({ ...PARTS, buildArgs }));
        expect(left === right).toBe(pairs(one) === pairs(other));
      }),
    );
    expect(buildKey({ ...PARTS, buildArgs: { a: 'b' }, labels: {} })).not.toBe(
      buildKey({ ...PARTS, buildArgs: {}, labels: { a: 'b' } }),
    );
  });
});

describe('what a Dockerfile reads from registries', () => {
  test.for<[what: string, dockerfile: string, references: readonly string[], unknown: readonly string[]]>([
    [
      'stages, scratch and numbers are none',
      'FROM debian:12 AS Base\nFROM base\nFROM scratch\nCOPY --from=0 a b\nCOPY --from=base a b',
      ['debian:12'],
      [],
    ],
    [
      'COPY, ADD and mounts',
      'FROM scratch\nCOPY --chown=1 --from=x:1 a b\nADD --from=y a b\nRUN --mount=type=bind,from=z:2,target=/z make',
      ['x:1', 'y', 'z:2'],
      [],
    ],
    [
      'arguments before FROM',
      'ARG V=12\nARG I=debian:$\u007bV}\nFROM $I\nFROM $\u007bN:-alpine}:$\u007bV}',
      ['debian:12', 'alpine:12'],
      [],
    ],
    ['arguments that are given', 'ARG V=12\nFROM debian:$V', ['debian:13'], []],
    ['arguments of a stage are not for FROM', 'FROM a\nARG V=1\nFROM b:$V', ['a', 'b:13'].slice(0, 1), ['b:$V']],
    ['the platform', 'FROM --platform=$BUILDPLATFORM go:1\nFROM app-$TARGETARCH', ['go:1'], ['app-$TARGETARCH']],
    ['escapes, comments and lower case', '# escape=`\nfrom `\n# no\n  debian:12 `\n  as x', ['debian:12'], []],
    [
      'here-documents hold no instructions',
      'FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<-"X" <<Y /d\n\tFROM c\n\tX\nFROM d\nY\nFROM e',
      ['a', 'e'],
      [],
    ],
    ['named contexts are no images', 'FROM named\nFROM other:1', ['other:1'], []],
    ['what images do to those built on them', 'FROM a\nONBUILD COPY --from=b x y', ['a', 'b'], []],
    ['nothing', '', [], []],
  ])('%s', ([what, dockerfile, references, unknown]) => {
    const buildArgs: Readonly<Record<string, string>> = what.endsWith('given') ? { V: '13' } : {};
    expect(baseReferences(dockerfile, { buildArgs, namedContexts: ['named'] })).toEqual({ references, unknown });
  });

  test('anything may stand in a Dockerfile', () => {
    const word = fc.constantFrom(
      'FROM',
      'ARG',
      'RUN',
      '$',
      '${',
      '<<EOF',
      '\\',
      '\n',
      '--from=',
      'a',
      '=',
      '"',
      ' ',
      '#',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), (words) => {
        baseReferences(words.join(''), { buildArgs: {}, namedContexts: [] });
      }),
    );
  });
});
