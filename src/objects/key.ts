import { WorkerError } from '../errors/index.ts';

/** S3's limit is 1024 bytes, prefix included; a file system's is 255 a name, the suffix of temporary names included. */
const MAX_KEY_BYTES = 900;
const MAX_PART_BYTES = 200;
const FORBIDDEN = /[\\\p{Cc}]/u;

/** Checks that a key means the same in every store and stays inside it. Throws STORE_KEY_INVALID. */
export function requireKey(key: string): void {
  const parts = key.split('/');
  const why =
    Buffer.byteLength(key) > MAX_KEY_BYTES || parts.some((part) => Buffer.byteLength(part) > MAX_PART_BYTES)
      ? 'too long'
      : parts.some((part) => part === '' || part === '.' || part === '..')
        ? 'an empty part, . or ..'
        : FORBIDDEN.test(key) || !key.isWellFormed()
          ? 'a backslash or a control character'
          : key.startsWith('.')
            ? 'a leading dot, which is for the store itself'
            : undefined;
  if (why !== undefined)
    throw new WorkerError('STORE_KEY_INVALID', `no key of an object: ${JSON.stringify(key.slice(0, 200))}: ${why}`);
}
