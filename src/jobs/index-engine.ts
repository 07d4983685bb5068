import { WorkerError } from '../errors/index.ts';
import { findNativeTool, type NativeToolPaths } from '../native/index.ts';
import type { Log } from '../telemetry/index.ts';

/** `native`: clipyard-index, everything. `portable`: TypeScript, indexes layers as they are, without a metadata image. */
export type IndexEngine = 'native' | 'portable';
export type EngineChoice = IndexEngine | 'auto';

/** The engine to use. `auto` is native, or portable with a notice where the tool is missing. Throws NATIVE_TOOL_MISSING. */
export function engineOf(
  choice: EngineChoice,
  { log, tools }: { readonly log: Log; readonly tools: NativeToolPaths },
): IndexEngine {
  if (choice === 'portable') return 'portable';
  try {
    findNativeTool('clipyard-index', tools);
    return 'native';
  } catch (thrown) {
    if (choice === 'native' || !(thrown instanceof WorkerError) || thrown.code !== 'NATIVE_TOOL_MISSING') throw thrown;
    log.warn(
      { engine: 'portable' },
      `${thrown.message}; the portable engine indexes: slower, and the first mount of the archive reads every layer`,
    );
    return 'portable';
  }
}
