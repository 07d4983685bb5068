import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OciLayout } from '../../oci/index.ts';
import { createRegistryClient } from '../../registry/index.ts';
import type { Usage } from '../measure/run-measured.ts';
import { type BuiltImage, fromLastStep, requestOf } from './build-line.ts';
import type { Contender, Outcome, PhaseName, Place } from './contender.ts';
import { serveLayout } from './layout-server.ts';
import { findPeer } from './peer-tools.ts';
import type { PrivateBuildkit } from './private-buildkit.ts';
import { pushImage, removeImage } from './registry-image.ts';
import { stockIndex } from './stock-clip.ts';

export interface BuildkitFlow {
  readonly id: string;
  readonly title: string;
  readonly compression: 'gzip' | 'zstd';
  /** BuildKit's own default when it is left out. */
  readonly level?: number;
  /** `after-push`: from the registry, in turn. `beside-push`: from the layout, while the push runs. `none`: bytes only. */
  readonly index: 'after-push' | 'beside-push' | 'none';
}

/** The flows that clipyard replaces, oldest first. */
export const BUILDKIT_FLOWS: readonly BuildkitFlow[] = [
  {
    id: 'buildkit-gzip-clip',
    title: 'BuildKit gzip export, push, then stock CLIP index from the registry',
    compression: 'gzip',
    index: 'after-push',
  },
  {
    id: 'buildkit-gzip1-clip',
    title: 'BuildKit gzip level 1 export, then push beside stock CLIP index from the layout',
    compression: 'gzip',
    level: 1,
    index: 'beside-push',
  },
  {
    id: 'buildkit-zstd',
    title: 'BuildKit zstd export, then push; no index (stock CLIP knows gzip only)',
    compression: 'zstd',
    index: 'none',
  },
];

/**
 * Export, push and index around the stock tools. In favour of the peer: blobs leave BuildKit by hard link, the push is our
 * client (blobs side by side), and no program but the indexer has to start.
 */
export function buildkitFlowContender(flow: BuildkitFlow, image: BuiltImage, say: (line: string) => void): Contender {
  const daemon = findPeer('buildkitd', image.tools);
  const reader = findPeer('clip-reader', image.tools);
  const missing = [daemon, ...(flow.index === 'none' ? [] : [reader])].flatMap((peer) =>
    peer.path === undefined ? [peer.missing] : [],
  );
  return {
    id: flow.id,
    title: flow.title,
    unavailable: missing.length === 0 ? undefined : missing.join('; '),
    run: (place) =>
      fromLastStep(image, place, (buildkit) =>
        runFlow(flow, image, { buildkit, place, reader: reader.path ?? '', say }),
      ),
  };
}

interface FlowContext {
  readonly buildkit: PrivateBuildkit;
  readonly place: Place;
  readonly reader: string;
  readonly say: (line: string) => void;
}

async function runFlow(flow: BuildkitFlow, image: BuiltImage, context: FlowContext): Promise<Outcome> {
  const { buildkit, place, reader, say } = context;
  const { directory, registry, signal } = place;
  const target = { registry, repository: `${image.repositoryPrefix}-${flow.id}`, tag: 'image' };
  const layout = await OciLayout.open(join(directory, 'layout'), { create: true, signal });
  await using client = createRegistryClient();
  const began = performance.now();
  const ownCpu = process.cpuUsage();
  const phases: Partial<Record<PhaseName, number>> = {};
  const timed = async <T>(phase: PhaseName, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    phases[phase] = (performance.now() - start) / 1000;
    return result;
  };
  try {
    const { descriptor } = await timed('build', () =>
      buildkit.client.build(
        { ...requestOf(image), exporter: exporterOf(flow) },
        { landing: layout, paths: ['link', 'read'], signal },
      ),
    );
    const push = () => timed('push', () => pushImage(layout, descriptor, target, { client, signal }));
    const index = (from: string) =>
      timed('index', () => stockIndex(reader, `${from}/${target.repository}:${target.tag}`, place));
    let pushed: { readonly blobBytes: number };
    let indexed: Outcome | undefined;
    if (flow.index === 'beside-push') {
      await using server = await serveLayout(layout, descriptor);
      [pushed, indexed] = await Promise.all([push(), index(server.address)]);
    } else {
      pushed = await push();
      if (flow.index === 'after-push') indexed = await index(registry);
    }
    const archivePath = indexed?.archivePath;
    if (archivePath !== undefined) await timed('upload', () => publishArchive(archivePath, directory));
    const { system, user } = process.cpuUsage(ownCpu);
    const usage: Usage = {
      seconds: (performance.now() - began) / 1000,
      cpuSeconds: (user + system) / 1e6 + (indexed?.cpuSeconds ?? 0),
      peakBytes: indexed?.peakBytes ?? 0,
      readBytes: pushed.blobBytes + (indexed?.readBytes ?? 0),
    };
    return {
      ...usage,
      phases,
      blobBytes: pushed.blobBytes,
      ...(indexed?.archiveBytes !== undefined && { archiveBytes: indexed.archiveBytes }),
      ...(archivePath !== undefined && { archivePath }),
    };
  } finally {
    await removeImage(target, { client, say });
  }
}

/** Into the same kind of store as ours: a folder. */
async function publishArchive(archivePath: string, directory: string): Promise<void> {
  const store = join(directory, 'store');
  await mkdir(store, { recursive: true });
  await copyFile(archivePath, join(store, 'image.clip'));
}

function exporterOf({ compression, level }: BuildkitFlow): Readonly<Record<string, string>> {
  return {
    compression,
    'force-compression': 'true',
    ...(level !== undefined && { 'compression-level': String(level) }),
  };
}
