import type { BigIntStats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import { writeFileAtomically } from '../files/index.ts';
import { findNativeTool, type NativeToolPaths } from '../native/index.ts';
import { hashFile } from './hash-file.ts';
import { encoderIds } from './layer-indexer.ts';
import { LayerResult } from './results.ts';

/** Who `clipyard-index` is: what decides the bytes of packs and of archives. */
export interface IndexTool {
  /** Of the executable. */
  readonly digest: Digest;
  /** By codec, as the tool itself names them; they key packs. */
  readonly encoders: Readonly<Record<string, string>>;
  /** Whether the executable is still the one that was asked. An upgrade may come while a job runs. */
  isCurrent(): Promise<boolean>;
}

export interface IndexToolOptions extends Cancelable {
  readonly tools: NativeToolPaths;
  readonly stateDir: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const Remembered = z.object({
  version: z.literal(1),
  file: z.string(),
  digest: LayerResult.shape.digest,
  encoders: z.record(z.string(), z.string()),
});

/** File systems may give all changes within a tick of the clock one time; the longest tick in use is FAT's, 2 seconds. */
const TICK_MS = 2000;

/**
 * The identity of the tool, remembered in the state directory by what stat(2) says of the executable. That is sound: whoever replaces
 * the file brings another inode or another change time, whoever writes into it moves its change time, and no call sets that back. One
 * that changed within the last tick of the clock is not remembered: a second change could leave the same time (git's "racily clean").
 * What the executable loads beside itself is libc, which decides no byte.
 */
export async function indexTool({ now = Date.now, signal, stateDir, tools }: IndexToolOptions): Promise<IndexTool> {
  const path = resolve(findNativeTool('clipyard-index', tools));
  const cachePath = join(stateDir, 'tools', 'clipyard-index.json');
  const stats = await stat(path, { bigint: true });
  const file = fileIdentity(path, stats);
  const isCurrent = async () => {
    const now = await stat(path, { bigint: true }).catch(() => undefined);
    return now !== undefined && fileIdentity(path, now) === file;
  };
  const known = await remembered(cachePath, file);
  if (known !== undefined) return { ...known, isCurrent };
  const [{ digest }, encoders] = await Promise.all([hashFile(path, { signal }), encoderIds({ tools, signal })]);
  const isSettled = BigInt(now() - TICK_MS) > stats.ctimeMs;
  if (isSettled && (await isCurrent())) {
    const text = `${JSON.stringify({ version: 1, file, digest, encoders })}\n`;
    // A state directory that cannot be written is told by the step that must write there.
    await writeFileAtomically(cachePath, text, { signal }).catch(() => undefined);
  }
  return { digest, encoders, isCurrent };
}

function fileIdentity(path: string, { ctimeNs, dev, ino, mtimeNs, size }: BigIntStats): string {
  return [path, dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

async function remembered(path: string, file: string): Promise<z.infer<typeof Remembered> | undefined> {
  try {
    const known = Remembered.parse(JSON.parse(await readFile(path, 'utf8')));
    return known.file === file ? known : undefined;
  } catch {
    return undefined;
  }
}
