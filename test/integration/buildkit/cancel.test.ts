import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openChannel } from '../../../src/buildkit/channel.ts';
import { fileSyncHandlers } from '../../../src/buildkit/context/file-sync.ts';
import { LocalTree } from '../../../src/buildkit/context/local-tree.ts';
import type { BuildEvent, BuildkitClient } from '../../../src/buildkit/index.ts';
import { BuildProgress } from '../../../src/buildkit/progress/build-progress.ts';
import { healthHandlers } from '../../../src/buildkit/session/health.ts';
import { Session } from '../../../src/buildkit/session/session.ts';
import { solve } from '../../../src/buildkit/solve.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { BASE, connect, failureOf, fresh, processesWith, runStep, until, Workplace } from './harness.ts';
import { SocketProxy } from './socket-proxy.ts';

let client: BuildkitClient;
let place: Workplace;

beforeAll(async () => {
  client = await connect();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = await Workplace.open();
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
});

/** A context whose RUN would take an hour, and a text that its process shows. */
async function endlessContext() {
  const mark = `mark-${fresh()}`;
  const contextDir = await place.context({
    Dockerfile: `${BASE}${runStep(`: ${mark}; /bin/busybox sleep 3600; true`)}`,
  });
  return { contextDir, mark };
}

const isRunning = (mark: string) => processesWith(mark).length > 0;

test('abort kills the running step and gives the reason back', async () => {
  const { contextDir, mark } = await endlessContext();
  const controller = new AbortController();
  const building = client.build({ contextDir }, { landing: await place.layout(), signal: controller.signal });
  const outcome = building.catch((thrown: unknown) => thrown);
  await until('the step runs', () => isRunning(mark));
  const reason = new Error('enough');
  controller.abort(reason);
  expect(await outcome).toBe(reason);
  await until('the step is gone', () => !isRunning(mark));
});

test('an aborted signal starts nothing', async () => {
  const { contextDir } = await endlessContext();
  const events: BuildEvent[] = [];
  const options = {
    landing: await place.layout(),
    signal: AbortSignal.abort(),
    onEvent: (event: BuildEvent) => events.push(event),
  };
  await expect(client.build({ contextDir }, options)).rejects.toThrow();
  expect(events).toEqual([]);
});

test('the daemon is usable after a cancelled build', async () => {
  const contextDir = await place.context({ Dockerfile: BASE });
  const result = await client.build(
    { contextDir },
    { landing: await place.layout(), signal: AbortSignal.timeout(60_000) },
  );
  expect(result.steps).toBe(1);
});

test('a connection that breaks ends the build at once and kills the step', async () => {
  const { contextDir, mark } = await endlessContext();
  await using proxy = await SocketProxy.start(join(place.path, 'p.sock'), serviceSetting('CLIPYARD_BUILDKIT'));
  await using other = await connect({ address: proxy.address });
  const failure = failureOf(
    other.build({ contextDir }, { landing: await place.layout(), signal: AbortSignal.timeout(60_000) }),
  );
  await until('the step runs', () => isRunning(mark));
  proxy.cutAll();
  const { category, code } = await failure;
  expect(['BUILDKIT_SESSION_LOST', 'BUILDKIT_UNAVAILABLE']).toContain(code);
  expect(category).toBe('unavailable');
  await until('the step is gone', () => !isRunning(mark));
});

test('the loss of the session alone cancels the solve', async () => {
  const { contextDir, mark } = await endlessContext();
  await using proxy = await SocketProxy.start(join(place.path, 'p.sock'), serviceSetting('CLIPYARD_BUILDKIT'));
  const [control, sessionControl] = [openChannel(serviceSetting('CLIPYARD_BUILDKIT')), openChannel(proxy.address)];
  const tree = new LocalTree(contextDir);
  const sources = new Map([
    ['context', tree],
    ['dockerfile', tree],
  ]);
  const limits = { maxEntries: 100, maxBytes: 1e9 };
  const handlers = new Map([...healthHandlers(), ...fileSyncHandlers({ sources, limits, onSynced: () => undefined })]);
  try {
    await using session = new Session(sessionControl, { handlers, sharedKey: fresh(), onFailure: () => undefined });
    const solving = solve(
      { contextDir },
      {
        control,
        session,
        progress: new BuildProgress(() => undefined),
        dockerfileName: 'Dockerfile',
        handlerFailure: () => undefined,
        log: silentLog(),
        signal: AbortSignal.timeout(60_000),
      },
    );
    const failure = failureOf(solving);
    await until('the step runs', () => isRunning(mark));
    proxy.cutAll();
    expect((await failure).code).toBe('BUILDKIT_SESSION_LOST');
    await until('the step is gone', () => !isRunning(mark));
  } finally {
    control.close();
    sessionControl.close();
  }
});

test('a session that sits idle for longer than two health checks stays', async () => {
  // Health is asked every 5 s and two failures end the session.
  const contextDir = await place.context({
    Dockerfile: `${BASE}${runStep(`/bin/busybox sleep 12; echo ${fresh()}`)}COPY late /\n`,
    late: 'x',
  });
  const result = await client.build(
    { contextDir },
    { landing: await place.layout(), signal: AbortSignal.timeout(60_000) },
  );
  expect(result.steps).toBe(3);
});
