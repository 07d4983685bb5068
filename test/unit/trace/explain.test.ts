import { expect, test } from 'vitest';
import { byteStringOfText, type ClipNode } from '../../../src/archive/index.ts';
import { explain, explanationPage } from '../../../src/trace/index.ts';
import { CHUNK, madeLayer, touchOf, traceOf } from './made-trace.ts';

const layers = Array.from({ length: 6 }, (_, at) => madeLayer(`layer ${at}`, 400));
const fileAt = (path: string, layer: number, chunk: number): ClipNode => ({
  type: 'file',
  path: byteStringOfText(path),
  attributes: {} as ClipNode['attributes'],
  target: byteStringOfText(''),
  contentHash: '',
  dataOffset: 0,
  dataBytes: 0,
  remote: { layerDigest: layers[layer]?.digest ?? '', offset: chunk * CHUNK, lengthBytes: 10_000 },
});

test('what waited is named by file, costliest first', () => {
  const trace = traceOf(layers, [
    touchOf(layers, 0, 5, { waitUs: 300 }),
    touchOf(layers, 1, 9, { atUs: 400, waitUs: 9000 }),
    touchOf(layers, 1, 200, { atUs: 9500, waitUs: 100 }),
  ]);
  const nodes = [fileAt('/bin/a', 0, 5), fileAt('/lib/b', 1, 9)];
  const found = explain(trace, { layers, nodes });
  expect(found.files.map(({ path, waitUs }) => [path, waitUs])).toEqual([
    ['/lib/b', 9000],
    ['/bin/a', 300],
  ]);
  expect(found).toMatchObject({ waitUs: 9400, endUs: 9600, amplification: 2, touches: 3 });
  expect(found.whatIf.map(({ name }) => name)).toContain('with this profile');
  expect(found.advice).toEqual([]);
  const alone = explain(trace);
  expect(alone).toMatchObject({ files: [], whatIf: [], waitUs: 9400 });
});

test('advice follows from the trace: many layers, one frame, sources without bytecode, a profile', () => {
  const touches = Array.from({ length: 60 }, (_, at) =>
    touchOf(layers, at % 6, at * 5, { atUs: at * 12_000, waitUs: 10_000 }),
  );
  const base = traceOf(layers, touches);
  const whole = { mode: 'whole', reason: 'one gzip member of 9 bytes holds 99 bytes' };
  const trace = { ...base, layers: base.layers.map((layer, at) => (at === 2 ? { ...layer, ...whole } : layer)) };
  const nodes = touches.map((touch, at) => fileAt(`/app/m${at}.py`, touch.layer, touch.firstChunk));
  const rules = explain(trace, { layers, nodes }).advice.map(({ rule }) => rule);
  expect(rules).toEqual(['layer-not-lazy', 'profile', 'many-layers', 'python-sources']);
  const compiled = nodes.map(({ path, ...node }, at) => ({
    ...node,
    path: byteStringOfText(at % 2 === 0 ? path : `/app/__pycache__/m${at - 1}.cpython-312.pyc`),
  }));
  expect(explain(trace, { layers, nodes: compiled }).advice.map(({ rule }) => rule)).not.toContain('python-sources');
});

test('the archive of another image is ARCHIVE_MISMATCH', () => {
  const trace = traceOf(layers, []);
  const other = [...layers.slice(1), madeLayer('other', 400)];
  expect(() => explain(trace, { layers: other, nodes: [] })).toThrow(
    expect.objectContaining({ code: 'ARCHIVE_MISMATCH' }),
  );
});

test('the page shows names of files as text', () => {
  const trace = traceOf(layers, [touchOf(layers, 0, 5, { waitUs: 300 })]);
  const page = explanationPage(explain(trace, { layers, nodes: [fileAt('/<script>alert(1)</script>', 0, 5)] }));
  expect(page).toContain('&lt;script&gt;');
  expect(page).not.toContain('<script');
  expect(page.match(/<svg/g)?.length).toBe(3);
});
