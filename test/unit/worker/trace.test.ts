import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { silentLog } from '../../../src/telemetry/index.ts';
import { AttemptTrace, type Span, traceIdOf } from '../../../src/worker/trace/attempt-trace.ts';
import { TraceSender } from '../../../src/worker/trace/trace-sender.ts';

const job = { jobId: '0f8fad5b-d9cb-469f-a165-70867728950e', workspaceId: 'team', imageId: 'web', attempt: 2 };

test('an attempt is a span, with its phases and steps below', () => {
  let nowMs = 1000;
  const trace = new AttemptTrace(job, () => nowMs);
  const at = (ms: number, event: Parameters<AttemptTrace['see']>[0]) => {
    nowMs = ms;
    trace.see(event);
  };
  at(1000, { type: 'phase', phase: 'preparing', state: 'started' });
  at(1100, { type: 'phase', phase: 'preparing', state: 'ended' });
  at(1100, { type: 'phase', phase: 'building', state: 'started' });
  const ended = { type: 'step-ended', step: 1, name: 'RUN make', outcome: 'failed', durationMs: 300 } as never;
  at(1500, { type: 'buildkit', event: ended });
  trace.fail({ code: 'BUILD_STEP_FAILED', message: 'make: 2' });
  nowMs = 1600;
  const spans = trace.end('failed');
  expect(spans.map(({ name }) => name)).toEqual(['build', 'preparing', 'building', 'RUN make']);
  const [root, preparing, building, step] = spans as readonly [Span, Span, Span, Span];
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([job.jobId.replaceAll('-', '')]));
  expect([root.parentSpanId, preparing.parentSpanId, building.parentSpanId]).toEqual([
    undefined,
    root.spanId,
    root.spanId,
  ]);
  expect(step.parentSpanId).toBe(building.spanId);
  const times = spans.map(({ endTimeUnixNano, startTimeUnixNano }) => [startTimeUnixNano, endTimeUnixNano]);
  expect(times).toEqual([
    ['1000000000', '1600000000'],
    ['1000000000', '1100000000'],
    ['1100000000', '1600000000'],
    ['1200000000', '1500000000'],
  ]);
  expect(spans.map(({ status }) => status.code)).toEqual([2, 0, 2, 2]);
  expect(root.attributes).toContainEqual({ key: 'error.type', value: { stringValue: 'BUILD_STEP_FAILED' } });
  expect(root.attributes).toContainEqual({ key: 'clipyard.attempt', value: { intValue: '2' } });
  expect(traceIdOf('another kind of id')).toMatch(/^[0-9a-f]{32}$/);
});

test('a trace goes to the collector, and one that is away costs a line of log', async () => {
  const seen: unknown[] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      seen.push(request.url, body);
      response.end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const common = { workerId: 'w1', version: '1.2.3', log: silentLog() };
  const spans = new AttemptTrace(job, () => 5).end('done');
  {
    await using sender = new TraceSender({ ...common, endpoint: `http://127.0.0.1:${port}/` });
    sender.send(spans);
  }
  server.close();
  server.closeAllConnections();
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const attributes = [
    attribute('service.name', 'clipyard-worker'),
    attribute('service.version', '1.2.3'),
    attribute('service.instance.id', 'w1'),
  ];
  const scopeSpans = [{ scope: { name: 'clipyard', version: '1.2.3' }, spans }];
  expect(seen).toEqual(['/v1/traces', { resourceSpans: [{ resource: { attributes }, scopeSpans }] }]);
  {
    await using away = new TraceSender({ ...common, endpoint: `http://127.0.0.1:${port}` });
    away.send(spans);
    await using none = new TraceSender({ ...common, endpoint: undefined });
    none.send(spans);
  }
  expect(() => new TraceSender({ ...common, endpoint: 'nowhere' })).toThrow(/no http address/);
});
