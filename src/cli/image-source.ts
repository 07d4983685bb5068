import { resolve } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import type { IndexSource } from '../jobs/index.ts';
import { parseReference } from '../registry/index.ts';

/** `docker://REF`, `oci:DIR`, `oci:DIR:NAME` or `oci:DIR@sha256:…`. Throws USAGE, REFERENCE_INVALID. */
export function parseImageSource(text: string, flag: string): IndexSource {
  if (text.startsWith('docker://'))
    return { kind: 'docker', reference: parseReference(text.slice('docker://'.length)) };
  if (!text.startsWith('oci:')) throw new WorkerError('USAGE', `${flag} ${text}: write oci:DIR[:NAME] or docker://REF`);
  const rest = text.slice('oci:'.length);
  // A name holds no `/`, so what follows the last colon is a name unless it is part of a path.
  const digestAt = rest.indexOf('@sha256:');
  if (digestAt !== -1)
    return { kind: 'oci', directory: resolve(rest.slice(0, digestAt)), name: rest.slice(digestAt + 1) };
  const colon = rest.lastIndexOf(':');
  if (colon === -1 || rest.slice(colon).includes('/'))
    return { kind: 'oci', directory: resolve(rest), name: undefined };
  return { kind: 'oci', directory: resolve(rest.slice(0, colon)), name: rest.slice(colon + 1) };
}
