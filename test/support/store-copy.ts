import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { openStore } from '../../src/objects/index.ts';

/** Copies an object (`s3://bucket/key`) into a file and gives the file's path. */
export async function copyFromStore(uri: string, path: string): Promise<string> {
  const slash = uri.indexOf('/', 's3://'.length);
  await using store = openStore(uri.slice(0, slash), process.env);
  const { body } = await store.get(uri.slice(slash + 1), { signal: AbortSignal.timeout(30_000) });
  await pipeline(body, createWriteStream(path));
  return path;
}
