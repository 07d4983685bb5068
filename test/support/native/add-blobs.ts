import { readFile } from 'node:fs/promises';
import type { PackedLayer } from './index-tool.ts';

/** Uploads blobs (distribution-spec 1.1, "POST then PUT"). */
export async function addBlobs(address: string, repository: string, layers: readonly PackedLayer[]): Promise<void> {
  for (const { blob, digest } of layers) {
    const opened = await fetch(`http://${address}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(opened.headers.get('location') ?? '', `http://${address}`);
    location.searchParams.set('digest', digest);
    const body = await readFile(blob);
    const done = await fetch(location, {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream' },
    });
    if (done.status !== 201) throw new Error(`PUT ${digest}: ${done.status} ${await done.text()}`);
  }
}
