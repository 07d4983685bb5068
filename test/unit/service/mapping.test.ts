import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildEvent, Build as ProtoBuild, SubmitRequest as ProtoRequest } from '../../../src/gen/clipyard/v1/build.ts';
import { BUILD_STATES, type Json, type StoredEvent, type StoredFailure } from '../../../src/queue/index.ts';
import { buildFromProto, buildToProto } from '../../../src/service/mapping/build.ts';
import { eventFromProto, eventToProto } from '../../../src/service/mapping/event.ts';
import { stateFromProto, stateToProto } from '../../../src/service/mapping/state.ts';
import { submitRequestFromProto, submitRequestToProto } from '../../../src/service/mapping/submit.ts';
import { type BuildView, parseBuildSpec, type SubmitRequest } from '../../../src/worker/index.ts';

const text = fc.string({ minLength: 1, maxLength: 40 });
const names = fc.dictionary(
  text.filter((name) => name !== '__proto__'),
  fc.string({ maxLength: 40 }),
  { maxKeys: 4, noNullPrototype: true },
);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const count = fc.nat(Number.MAX_SAFE_INTEGER);
const timeMs = fc.nat(4_000_000_000_000);
const state = fc.constantFrom(...BUILD_STATES);
const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => `sha256:${Buffer.from(bytes).toString('hex')}`);

const context = fc.oneof(
  digest.map((value) => ({ type: 'uploaded' as const, digest: value })),
  text.map((key) => ({ type: 'object' as const, key })),
  fc.record({ type: fc.constant('git' as const), url: text, ref: optional(text), subdirectory: optional(text) }),
  fc.string({ maxLength: 200 }).map((dockerfile) => ({ type: 'inline' as const, dockerfile })),
);

const spec = fc.record({
  imageId: fc.stringMatching(/^[A-Za-z0-9_]{1,64}$/),
  context,
  dockerfile: optional(text),
  target: optional(text),
  platforms: fc.array(text, { maxLength: 3 }),
  buildArgs: names,
  labels: names,
  namedContexts: names,
  ssh: fc.array(text, { maxLength: 2 }),
  network: fc.constantFrom('default', 'none', 'host'),
  noCache: fc.boolean(),
  cacheFrom: fc.array(text, { maxLength: 2 }),
  cacheTo: fc.array(text, { maxLength: 2 }),
  attest: fc.array(text, { maxLength: 2 }),
  compression: fc.constantFrom('zstd', 'gzip', 'none', 'auto'),
  level: optional(fc.integer({ min: 1, max: 19 })),
  chunkBytes: optional(fc.integer({ min: 1, max: 2 ** 30 })),
  archiveFormat: fc.constantFrom('clipyard', 'v1'),
  alsoAs: optional(text),
  repository: optional(text),
  hermetic: fc.boolean(),
});

const request: fc.Arbitrary<SubmitRequest> = fc.record({
  spec: spec.map(parseBuildSpec),
  secrets: fc.uniqueArray(fc.record({ id: text, version: fc.string({ maxLength: 20 }), value: fc.uint8Array() }), {
    selector: ({ id }) => id,
    maxLength: 3,
  }),
  idempotencyKey: optional(text),
  priority: optional(fc.nat(9)),
  maxAgeMs: optional(count),
  timeoutMs: optional(count.filter((value) => value > 0)),
});

const details = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string(), { maxKeys: 3, noNullPrototype: true });
const failure: fc.Arbitrary<StoredFailure> = fc.record({
  code: fc.constantFrom('BUILD_STEP_FAILED', 'REGISTRY_THROTTLED', 'A_CODE_OF_A_NEWER_WORKER'),
  message: fc.string(),
  phase: state,
  retryable: fc.boolean(),
  details: fc.tuple(details, fc.record({ step: text, exitCode: fc.integer({ min: 0, max: 255 }) })).map(
    ([some, named]): Record<string, Json> => ({
      ...some,
      ...named,
      logLines: ['one', 'two'],
      firstLine: 3,
      lastLine: 4,
    }),
  ),
});
// A Struct holds doubles, and no -0 once it went through JSON.
const json = fc.dictionary(
  text.filter((name) => name !== '__proto__'),
  fc.oneof(fc.string(), fc.boolean(), fc.nat()),
  {
    maxKeys: 4,
    noNullPrototype: true,
  },
) as fc.Arbitrary<Record<string, Json>>;

test('a submission survives the wire', () => {
  fc.assert(
    fc.property(request, (submission) => {
      const wire = ProtoRequest.encode(submitRequestToProto(submission)).finish();
      const read = submitRequestFromProto(ProtoRequest.decode(wire));
      const plain = (secrets: SubmitRequest['secrets']) => secrets.map(({ value, ...rest }) => [rest, [...value]]);
      expect({ ...read, secrets: plain(read.secrets) }).toEqual({ ...submission, secrets: plain(submission.secrets) });
    }),
  );
});

test('a build survives the wire', () => {
  const view: fc.Arbitrary<BuildView> = fc.record({
    buildId: text,
    jobId: text,
    workspaceId: text,
    imageId: text,
    state,
    priority: fc.nat(9),
    submittedAtMs: timeMs,
    startedAtMs: optional(timeMs),
    endedAtMs: optional(timeMs),
    notBeforeMs: optional(timeMs),
    attempt: fc.nat(100),
    result: optional(json),
    failure: optional(failure),
    workerId: optional(text),
    sharedBy: fc.nat(100),
    position: optional(count),
  });
  fc.assert(
    fc.property(view, (build) => {
      expect(buildFromProto(ProtoBuild.decode(ProtoBuild.encode(buildToProto(build)).finish()))).toEqual(build);
    }),
  );
});

test('an event survives the wire, whatever its kind', () => {
  const step = fc.record(
    { id: text, name: fc.string(), cached: fc.boolean(), startedAtMs: timeMs, completedAtMs: timeMs, error: text },
    { requiredKeys: ['id', 'name', 'cached'], noNullPrototype: true },
  );
  const content: fc.Arbitrary<Pick<StoredEvent, 'kind' | 'what'>> = fc.oneof(
    fc.record({
      kind: fc.constant('state' as const),
      what: fc.tuple(json, state).map(([about, is]): Json => ({ ...about, state: is })),
    }),
    fc.record({
      kind: fc.constant('log' as const),
      what: fc.record(
        { stepId: text, stream: fc.constantFrom(1, 2), data: fc.string({ unit: 'grapheme' }) },
        { noNullPrototype: true },
      ),
    }),
    fc.record({ kind: fc.constant('step' as const), what: step }),
    fc.record({ kind: fc.constant('failure' as const), what: failure.map((it): Json => ({ ...it })) }),
    fc.record({ kind: fc.constant('detail' as const), what: json }),
  );
  const event = fc
    .tuple(fc.record({ cursor: count, timeMs, phase: state, attempt: fc.nat(100), bytes: count }), content)
    .map(([rest, what]) => ({ ...rest, ...what }));
  fc.assert(
    fc.property(event, (stored) => {
      const wire = BuildEvent.encode(eventToProto('b1', stored)).finish();
      expect(eventFromProto(BuildEvent.decode(wire))).toEqual(stored);
    }),
  );
});

test('an event of a form that is not known is shown as a detail', () => {
  const event: StoredEvent = {
    cursor: 1,
    timeMs: 0,
    phase: 'building',
    attempt: 1,
    bytes: 0,
    kind: 'log',
    what: ['?'],
  };
  expect(eventToProto('b1', event).what).toEqual({ $case: 'detail', value: { value: ['?'] } });
});

test('every state has a number and comes back from it', () => {
  for (const each of BUILD_STATES) expect(stateFromProto(stateToProto(each), 'state')).toBe(each);
});

test.for<[what: string, wrong: object, code: string, field: string]>([
  ['no spec', {}, 'REQUEST_INVALID', 'spec'],
  ['no context', { spec: { imageId: 'web' } }, 'REQUEST_INVALID', 'spec.context'],
  ['an image id with a dash', { spec: { imageId: 'a-b' } }, 'IMAGE_ID_INVALID', 'a-b'],
  ['a digest that is none', inline({ context: { $case: 'uploaded', value: 'sha256:x' } }), 'SPEC_INVALID', 'digest'],
  ['an unknown network', inline({ network: 'bridge' }), 'SPEC_INVALID', 'network'],
  ['an unknown codec', inline({ compression: 'brotli' }), 'SPEC_INVALID', 'compression'],
  ['a level beyond zstd', inline({ level: 20 }), 'SPEC_INVALID', 'level'],
  ['a priority of 10', { ...inline({}), priority: 10 }, 'REQUEST_INVALID', 'priority'],
  ['a time beyond 2^53', { ...inline({}), timeoutMs: 2n ** 60n }, 'REQUEST_INVALID', 'timeout_ms'],
  ['a long idempotency key', { ...inline({}), idempotencyKey: 'k'.repeat(257) }, 'REQUEST_INVALID', 'idempotency_key'],
  ['a secret without a name', inline({ secrets: [{ id: '' }] }), 'REQUEST_INVALID', 'spec.secrets.id'],
  ['a secret twice', inline({ secrets: [{ id: 'a' }, { id: 'a' }] }), 'REQUEST_INVALID', 'spec.secrets.id'],
])('%s is refused as %s and named', ([, wrong, code, field]) => {
  expect(() => submitRequestFromProto(ProtoRequest.fromPartial(wrong))).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(field) as string }),
  );
});

test('a refused secret does not show its value', () => {
  const secrets = [{ id: 'a', value: Buffer.alloc(600_000, 'swordfish') }];
  expect(() => submitRequestFromProto(ProtoRequest.fromPartial(inline({ secrets }) as object))).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining('swordfish') as string }),
  );
});

function inline(spec: object): { readonly spec: object } {
  return { spec: { imageId: 'web', context: { $case: 'dockerfileInline', value: 'FROM scratch' }, ...spec } };
}
