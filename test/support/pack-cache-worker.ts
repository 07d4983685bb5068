// One of several processes that use a pack cache at once: argv is the root and a name of its own.
import { readFile } from 'node:fs/promises';
import { collectPacks } from '../../src/indexer/index.ts';
import { blobOf, cacheOf, indexOf, packOf, putPack } from './pack-cache.ts';

const ROUNDS = 60;
const [root = '', worker = ''] = process.argv.slice(2);
const signal = AbortSignal.timeout(60_000);
let hits = 0;

for (let round = 0; round < ROUNDS; round++) {
  const name = String(round % 4);
  const cache = await cacheOf(root, `${worker}-${round}`);
  const { key } = packOf(name);
  const found = await cache.get(key);
  if (found !== undefined) hits++;
  const entry = found ?? (await putPack(cache, name));
  // Others drop and collect it now; what this job holds must stay whole.
  if (round % 7 === 0) await cache.drop(key, { blob: entry.layer.digest });
  if (round % 11 === 0) await collectPacks(root, { maxBytes: 100, signal });
  if ((await readFile(entry.indexPath, 'utf8')) !== indexOf(name)) throw new Error(`index of ${name} is torn`);
  if (entry.blobPath !== undefined && (await readFile(entry.blobPath, 'utf8')) !== blobOf(name))
    throw new Error(`blob of ${name} is torn`);
}
process.stdout.write(`${JSON.stringify({ hits })}\n`);
