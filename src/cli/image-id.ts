import { basename, resolve } from 'node:path';

/** `My App/` → `my_app`: an image id has no `-`. */
export function imageIdOf(contextDir: string): string {
  const name = basename(resolve(contextDir))
    .toLowerCase()
    .replaceAll(/[^a-z0-9_.]+/g, '_')
    .slice(0, 64);
  return /[a-z0-9]/.test(name) ? name : 'image';
}
