import type { ContextFile } from '../../buildkit/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import type { FileReader } from './file-reader.ts';
import { NativeReader } from './native-reader.ts';
import { ownReader } from './own-reader.ts';

/** Fewer files than this are read sooner than the tool is started. */
const MANY_FILES = 64;
const MANY_BYTES = 8 * 1024 * 1024;

/** Reads a few files here and many by the native tool, which is started for the first of these; without it all are read here. */
export function openReader(tools: NativeToolPaths, { signal }: Cancelable): FileReader {
  const own = ownReader({ signal });
  let native: FileReader | undefined;
  return {
    async read(files) {
      if (!isMuch(files)) return await own.read(files);
      native ??= startTool(tools, { signal }) ?? own;
      return await native.read(files);
    },
    async [Symbol.asyncDispose]() {
      await native?.[Symbol.asyncDispose]();
    },
  };
}

function isMuch(files: readonly ContextFile[]): boolean {
  if (files.length >= MANY_FILES) return true;
  return files.reduce((sum, { stats }) => sum + Number(stats.size), 0) >= MANY_BYTES;
}

function startTool(tools: NativeToolPaths, { signal }: Cancelable): FileReader | undefined {
  try {
    return new NativeReader(tools, { signal });
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'NATIVE_TOOL_MISSING') return undefined;
    throw thrown;
  }
}
