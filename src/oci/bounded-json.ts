import type { z } from 'zod';
import { messageOf, WorkerError } from '../errors/index.ts';

export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Parses untrusted JSON: size and nesting are checked before, the shape after. Throws LIMIT_EXCEEDED, MANIFEST_INVALID. */
export function parseBoundedJson<T>(bytes: Uint8Array, what: string, schema: z.ZodType<T>, limits: JsonLimits): T {
  if (bytes.length > limits.maxBytes) {
    throw new WorkerError('LIMIT_EXCEEDED', `${what}: ${bytes.length} bytes, at most ${limits.maxBytes} are read`);
  }
  const depth = nestingOf(bytes);
  if (depth > limits.maxDepth)
    throw new WorkerError('LIMIT_EXCEEDED', `${what}: nested ${depth} deep, at most ${limits.maxDepth} is read`);
  const parsed = schema.safeParse(decode(bytes, what));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new WorkerError(
    'MANIFEST_INVALID',
    `${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`,
  );
}

function decode(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new WorkerError('MANIFEST_INVALID', `${what}: no JSON: ${messageOf(cause).slice(0, 200)}`, {}, { cause });
  }
}

/** The deepest nesting of `{` and `[` outside strings, without building anything. */
function nestingOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return deepest;
}
