import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { isDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { Descriptor, OciLayout } from '../../oci/index.ts';

export interface LayoutServer extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
}

/**
 * The read half of a registry over a layout, for an indexer that reads from nothing else: what it takes then is what an
 * indexer of the same kind would take from the layout. Every tag is `manifest`, every repository the layout.
 */
export async function serveLayout(layout: OciLayout, manifest: Descriptor): Promise<LayoutServer> {
  const server = createServer((request, response) => {
    const answer = async () => {
      const [, kind, name = ''] = /\/(manifests|blobs)\/([^/?]+)/.exec(request.url ?? '') ?? [];
      if (kind === undefined) {
        response.writeHead(request.url?.startsWith('/v2/') === true ? 200 : 404).end();
        return;
      }
      const digest = isDigest(name) ? name : manifest.digest;
      const path = layout.blobPath(digest);
      const size = await stat(path).then(
        (stats) => stats.size,
        () => undefined,
      );
      if (size === undefined) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, {
        'content-type': kind === 'manifests' ? manifest.mediaType : 'application/octet-stream',
        'content-length': size,
        'docker-content-digest': digest,
      });
      if (request.method === 'HEAD') response.end();
      else await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), response);
    };
    answer().catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new WorkerError('INTERNAL', 'the server has no port');
  return {
    address: `127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
