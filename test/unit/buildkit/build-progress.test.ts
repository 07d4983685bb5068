import { describe, expect, test } from 'vitest';
import type { BuildEvent } from '../../../src/buildkit/index.ts';
import { BuildProgress } from '../../../src/buildkit/progress/build-progress.ts';
import { plainRenderer } from '../../../src/buildkit/progress/plain.ts';
import { baseReferenceOf, isUserStep } from '../../../src/buildkit/progress/step-names.ts';
import { terminalRenderer } from '../../../src/buildkit/progress/tty.ts';
import {
  type DeepPartial,
  StatusResponse,
} from '../../../src/gen/github.com/moby/buildkit/api/services/control/control.ts';

type Delta = DeepPartial<StatusResponse>;

const at = (seconds: number) => new Date(1_000_000 + seconds * 1000);

function replay(...deltas: readonly Delta[]) {
  const events: BuildEvent[] = [];
  const progress = new BuildProgress((event) => events.push(event));
  for (const delta of deltas) progress.apply(StatusResponse.fromPartial(delta));
  progress.end();
  return { events, progress };
}

const run = { digest: 'sha256:run', name: '[2/2] RUN make' };

describe('the model', () => {
  test('a step starts, says something, and ends', () => {
    const { events } = replay(
      { vertexes: [run] },
      { vertexes: [{ ...run, started: at(0) }] },
      { logs: [{ vertex: run.digest, stream: 1n, msg: Buffer.from('hello\nwor'), timestamp: at(0.5) }] },
      { logs: [{ vertex: run.digest, stream: 1n, msg: Buffer.from('ld'), timestamp: at(1) }] },
      { vertexes: [{ ...run, started: at(0), completed: at(2) }] },
    );
    expect(events).toEqual([
      { type: 'step-started', step: 1, name: '[2/2] RUN make', isUserStep: true },
      { type: 'log', step: 1, stream: 'stdout', text: 'hello', atMs: 500 },
      {
        type: 'step-ended',
        step: 1,
        name: '[2/2] RUN make',
        isUserStep: true,
        outcome: 'done',
        durationMs: 2000,
        error: undefined,
      },
      { type: 'log', step: 1, stream: 'stdout', text: 'world', atMs: 0 },
    ]);
  });

  test('output that comes behind the end of its step goes on with the line it left off', () => {
    const { events } = replay(
      { vertexes: [{ ...run, started: at(0) }] },
      { logs: [{ vertex: run.digest, stream: 1n, msg: Buffer.from('hello\nwor'), timestamp: at(1) }] },
      { vertexes: [{ ...run, started: at(0), completed: at(2) }] },
      { logs: [{ vertex: run.digest, stream: 1n, msg: Buffer.from('ld\n'), timestamp: at(1.5) }] },
    );
    expect(events.filter(({ type }) => type === 'log')).toMatchObject([{ text: 'hello' }, { text: 'world' }]);
  });

  test('plumbing that runs once for its key and again for its work is one step', () => {
    const load = { digest: 'sha256:load', name: '[internal] load build context' };
    const { events } = replay(
      { vertexes: [{ ...load, started: at(0), completed: at(0) }] },
      { vertexes: [{ ...load, started: at(1) }] },
      { vertexes: [{ ...load, started: at(1), completed: at(3) }] },
    );
    expect(events.map(({ type }) => type)).toEqual(['step-started', 'step-ended']);
    expect(events[1]).toMatchObject({ durationMs: 2000 });
  });

  test('cached stays cached when a later message takes it back', () => {
    const { progress } = replay(
      { vertexes: [{ ...run, started: at(0), completed: at(0), cached: true }] },
      { vertexes: [{ ...run, started: at(0), completed: at(1), cached: false }] },
    );
    expect(progress.counts()).toEqual({ steps: 1, cachedSteps: 1 });
  });

  test('only instructions that make something are counted', () => {
    const names = [
      '[internal] load .dockerignore',
      '[1/3] FROM docker.io/library/x:1@sha256:ab',
      '[stage-1 2/3] COPY a /',
      '[linux/amd64 3/3] RUN b',
      'exporting to oci image format',
    ];
    const { progress } = replay({
      vertexes: names.map((name, n) => ({
        digest: `sha256:${n}`,
        name,
        started: at(0),
        completed: at(1),
        cached: n === 2,
      })),
    });
    expect(progress.counts()).toEqual({ steps: 2, cachedSteps: 1 });
    expect(progress.baseReferences()).toEqual(['docker.io/library/x:1@sha256:ab']);
  });

  test('a step that never began is not counted', () => {
    expect(replay({ vertexes: [run] }).progress.counts()).toEqual({ steps: 0, cachedSteps: 0 });
  });

  test('the failed step is found by its vertex, else by its error, with its last lines', () => {
    const other = {
      digest: 'sha256:other',
      name: '[1/2] COPY a /',
      started: at(0),
      completed: at(1),
      error: 'context canceled',
    };
    const { progress } = replay({
      vertexes: [other, { ...run, started: at(0), completed: at(1), error: 'exit code: 1' }],
      logs: Array.from({ length: 60 }, (_, n) => ({ vertex: run.digest, stream: 2n, msg: Buffer.from(`${n}\n`) })),
    });
    expect(progress.failedStep('sha256:other')?.name).toBe('[1/2] COPY a /');
    expect(progress.failedStep(undefined)?.name).toBe('[2/2] RUN make');
    expect(progress.failedStep('sha256:run')?.tail.last(50)).toEqual(
      Array.from({ length: 50 }, (_, n) => String(n + 10)),
    );
  });

  test('the export is announced', () => {
    const { events } = replay({
      vertexes: [{ digest: 'sha256:e', name: 'exporting to oci image format', started: at(0) }],
    });
    expect(events.map(({ type }) => type)).toEqual(['step-started', 'export-started']);
  });
});

test.for<[name: string, user: boolean, base: string | undefined]>([
  ['[2/3] RUN x', true, undefined],
  ['[stage-0 2/3] RUN [ "a" ]', true, undefined],
  ['[linux/arm64 build 2/3] COPY --from=a /b /c', true, undefined],
  ['[1/3] FROM a/b:c', false, 'a/b:c'],
  ['[build 1/3] FROM --platform=linux/amd64 a/b@sha256:00', false, 'a/b@sha256:00'],
  ['[internal] load metadata for a/b:c', false, undefined],
  ['exporting to oci image format', false, undefined],
  ['importing cache manifest from a', false, undefined],
])('%j is an instruction: %j, and starts from %j', ([name, user, base]) => {
  expect([isUserStep(name), baseReferenceOf(name)]).toEqual([user, base]);
});

const EVENTS: readonly BuildEvent[] = [
  { type: 'step-started', step: 5, name: '[2/3] RUN make', isUserStep: true },
  { type: 'log', step: 5, stream: 'stdout', text: '\x1b[31mred\x1b[0m\ttab\x07', atMs: 123 },
  { type: 'status', step: 5, id: 'sha256:ab', state: 'running', current: 10, total: 2_000_000 },
  { type: 'status', step: 5, id: 'sha256:ab', state: 'done', current: 2_000_000, total: 2_000_000 },
  {
    type: 'step-ended',
    step: 5,
    name: '[2/3] RUN make',
    isUserStep: true,
    outcome: 'done',
    durationMs: 1234,
    error: undefined,
  },
  { type: 'step-started', step: 6, name: '[3/3] RUN x', isUserStep: true },
  {
    type: 'step-ended',
    step: 6,
    name: '[3/3] RUN x',
    isUserStep: true,
    outcome: 'cached',
    durationMs: 0,
    error: undefined,
  },
  {
    type: 'step-ended',
    step: 7,
    name: 'RUN y',
    isUserStep: true,
    outcome: 'failed',
    durationMs: 0,
    error: 'exit code: 1',
  },
];

test('plain lines look like those of docker build', () => {
  const lines: string[] = [];
  const listener = plainRenderer((line) => lines.push(line));
  for (const event of EVENTS) listener(event);
  expect(lines).toEqual([
    '#5 [2/3] RUN make',
    '#5 0.123 red    tab',
    '#5 sha256:ab 2.00 MB / 2.00 MB done',
    '#5 DONE 1.2s',
    '#6 [3/3] RUN x',
    '#6 CACHED',
    '#7 ERROR: exit code: 1',
  ]);
});

test('the live view leaves finished steps and nothing of what ran', () => {
  let screen = '';
  const output = { columns: 40, rows: 10, write: (text: string) => (screen += text) };
  using renderer = terminalRenderer(output, { now: () => 0 });
  for (const event of EVENTS) renderer.listener(event);
  renderer[Symbol.dispose]();
  const left = renderScreen(screen);
  expect(left).toEqual([' [2/3] RUN make  1.2s', ' [3/3] RUN x  CACHED', ' RUN y  FAILED']);
});

/** What a terminal shows after the only sequences the view uses: cursor up, clear below, carriage return. */
function renderScreen(text: string): readonly string[] {
  const lines: string[] = [''];
  let row = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's input
  for (const [part] of text.matchAll(/\x1b\[(\d+)A|\x1b\[0J|\r|\n|[^\x1b\r\n]+/g)) {
    if (part === '\n') lines[++row] ??= '';
    else if (part === '\x1b[0J') lines.splice(row, Infinity, '');
    else if (part.startsWith('\x1b')) row -= Number(part.slice(2, -1));
    else if (part === '\r') lines[row] = '';
    else lines[row] = `${lines[row] ?? ''}${part}`;
  }
  return lines.filter((line) => line !== '');
}
