import { z } from 'zod';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths, runTool } from '../native/index.ts';
import { type ArchiveSource, sourceRequest } from './source.ts';

const CatResult = z.object({ sizeBytes: z.number(), sha256: z.string() });
const DeepResult = z.object({ layers: z.number(), bytes: z.number() });

/** Writes one file of an archive to a descriptor, every chunk verified; needs neither root nor FUSE. */
export async function catFile(
  source: ArchiveSource,
  path: string,
  outputFd: number,
  options: Cancelable & { readonly tools: NativeToolPaths },
) {
  return CatResult.parse(await ask(source, { path, output: '/dev/fd/3' }, { ...options, extraStdio: [outputFd] }));
}

/** Reads every chunk of every layer from the registry and proves digests and diffIDs. */
export async function verifyBlobs(source: ArchiveSource, options: Cancelable & { readonly tools: NativeToolPaths }) {
  return DeepResult.parse(await ask(source, { verifyAll: true }, options));
}

async function ask(
  source: ArchiveSource,
  question: object,
  options: Cancelable & { readonly tools: NativeToolPaths; readonly extraStdio?: readonly number[] },
) {
  const { signal, tools, extraStdio } = options;
  const tool = findNativeTool('clipyard-mountd', tools);
  let result: unknown;
  for await (const event of runTool(
    tool,
    ['cat'],
    { ...sourceRequest(source), ...question },
    { signal, ...(extraStdio && { extraStdio }) },
  )) {
    if (event.event === 'result') result = event.result;
  }
  if (result === undefined) throw new WorkerError('NATIVE_TOOL_FAILED', 'clipyard-mountd cat ended without a result');
  return result;
}
