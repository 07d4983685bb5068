import type { ClipNode, LayerRecord } from '../archive/index.ts';
import { WorkerError } from '../errors/index.ts';
import { adviceFor } from './advice.ts';
import type { Explanation, FileCost, LayerCost, TimelineRow, WhatIf } from './explanation.ts';
import { type FileMap, fileMap } from './file-map.ts';
import { type LayerPlaces, layerPlaces } from './layer-places.ts';
import { profileOf } from './profile.ts';
import { type Link, measuredLink, simulate } from './simulate.ts';
import type { Touch, Trace } from './trace-file.ts';

/** What an archive adds to a trace. */
export interface TracedImage {
  readonly layers: readonly LayerRecord[];
  readonly nodes: readonly ClipNode[];
}

/** What a start waited for, and what would have changed that. Throws ARCHIVE_MISMATCH for the archive of another image. */
export function explain(trace: Trace, image?: TracedImage): Explanation {
  if (image !== undefined) requireSameLayers(trace, image.layers);
  const files = image && fileMap(image.nodes, trace.layers);
  const timeline = timelineOf(trace, files, image?.layers.map(layerPlaces));
  const { totals, touches } = trace;
  const tiers = (['ready', 'cached', 'coming', 'missing'] as const).map((tier) => {
    const of = touches.filter((touch) => touch.tier === tier);
    return { tier, touches: of.length, waitUs: sum(of, ({ waitUs }) => waitUs) };
  });
  const simulated = image && whatIfs(trace, image.layers);
  const found = {
    v: 1 as const,
    source: trace.source,
    entry: trace.entry,
    startedAt: trace.startedAt,
    engine: trace.engine,
    totals,
    touches: touches.length,
    waitUs: sum(touches, ({ waitUs }) => waitUs),
    endUs: touches.reduce((end, { atUs, waitUs }) => Math.max(end, atUs + waitUs), 0),
    ...(totals.wantedBytes > 0 && { amplification: totals.fetchedBytes / totals.wantedBytes }),
    tiers,
    layers: layerCosts(trace),
    files: fileCosts(timeline),
    timeline,
    ...(simulated && { link: simulated.link }),
    whatIf: simulated?.whatIf ?? [],
  };
  return { ...found, advice: adviceFor(found, files) };
}

function whatIfs(
  trace: Trace,
  layers: readonly LayerRecord[],
): { readonly link: Link; readonly whatIf: readonly WhatIf[] } {
  const link = measuredLink(trace, layers);
  const profile = profileOf(trace).chunks.map(({ digest }) => digest);
  return {
    link,
    whatIf: [
      { name: 'cold', simulation: simulate(trace, layers, { link }) },
      { name: 'cold without read-ahead', simulation: simulate(trace, layers, { link, readAhead: false }) },
      { name: 'with this profile', simulation: simulate(trace, layers, { link, profile }) },
      ...[2, 4, 8].map((chunksTogether) => ({
        name: `chunks of ${chunksTogether} times the size`,
        simulation: simulate(trace, layers, { link, chunksTogether }),
      })),
    ],
  };
}

function timelineOf(
  trace: Trace,
  files: FileMap | undefined,
  places: readonly LayerPlaces[] | undefined,
): readonly TimelineRow[] {
  return trace.touches.map((touch) => {
    const { atUs, layer, length, offset, tier, waitUs } = touch;
    const path = files?.fileOf(touch);
    const storedBytes = places && storedOf(places, touch);
    return {
      atUs,
      waitUs,
      tier,
      layer,
      offset,
      length,
      ...(path !== undefined && { path }),
      ...(storedBytes !== undefined && { storedBytes }),
    };
  });
}

function storedOf(places: readonly LayerPlaces[], { chunkCount, firstChunk, layer }: Touch): number {
  return places[layer]?.plan(firstChunk, firstChunk + chunkCount).storedBytes ?? 0;
}

function fileCosts(timeline: readonly TimelineRow[]): readonly FileCost[] {
  const named = timeline.filter((row): row is TimelineRow & { path: string } => row.path !== undefined);
  const costs = [...Map.groupBy(named, ({ path }) => path)].map(([path, rows]) => ({
    path,
    touches: rows.length,
    waitUs: sum(rows, ({ waitUs }) => waitUs),
    storedBytes: sum(rows, ({ storedBytes = 0 }) => storedBytes),
  }));
  return costs.toSorted((a, b) => b.waitUs - a.waitUs || b.storedBytes - a.storedBytes || (a.path < b.path ? -1 : 1));
}

function layerCosts({ layers, touches }: Trace): readonly LayerCost[] {
  return layers.map(({ chunks, digest, mode, reason }, layer) => {
    const of = touches.filter((touch) => touch.layer === layer);
    return {
      digest,
      mode,
      ...(reason !== undefined && { reason }),
      touches: of.length,
      chunks,
      touchedChunks: sum(of, ({ chunkCount }) => chunkCount),
      waitUs: sum(of, ({ waitUs }) => waitUs),
    };
  });
}

function requireSameLayers(trace: Trace, layers: readonly LayerRecord[]): void {
  const same =
    trace.layers.length === layers.length &&
    trace.layers.every(({ chunkTable, diffId }, at) => {
      const layer = layers[at];
      return layer?.diffId === diffId && layer.chunkTableDigest === chunkTable;
    });
  if (!same)
    throw new WorkerError(
      'ARCHIVE_MISMATCH',
      `the trace is of ${trace.source}: its layers are not those of the archive that was given`,
    );
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0);
}
