import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { layerCodecOf, OciLayout, parseManifest } from '../../oci/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import { type MountContender, type MountPlace, needsRoot, type PushedImage } from './tree.ts';
import { unmount } from './unmount.ts';

/** Blobs that are pulled at once, as container engines do. */
const PULL_WIDTH = 3;
const MOUNT_TIMEOUT_MS = 60_000;
const TAR_FLAGS = { plain: '', gzip: '-z', zstd: '--zstd' } as const;

/** $1: blob, $2: folder, $3: tar's flag. Whiteouts become what overlayfs takes for them (kernel, overlayfs.rst). */
const UNPACK = `set -e
tar -x $3 -p --numeric-owner --xattrs --xattrs-include='*' -f "$1" -C "$2"
cd "$2"
find . -name .wh..wh..opq -printf '%h\\0' | xargs -0 -r setfattr -n trusted.overlay.opaque -v y --
find . -name .wh..wh..opq -delete
find . -name '.wh.*' -exec sh -c 'for mark; do rm -f -- "$mark"; mknod -- "\${mark%/*}/\${mark##*/.wh.}" c 0 0; done' sh {} +`;

/** What lazy mounts replace: every layer pulled, checked and unpacked by tar, and the kernel's overlay over the folders. */
export function overlayMountContender(image: PushedImage, client: RegistryClient): MountContender {
  return {
    id: 'overlayfs',
    title: 'pull, unpack (GNU tar), overlayfs on the unpacked layers',
    unavailable: needsRoot(),
    opensForEach: false,
    open: async (place) => {
      const beganMs = performance.now();
      const root = join(place.directory, 'root');
      await mkdir(root);
      const layers = await pullAndUnpack(image, place, client);
      // Relative names: all options of a mount have one page. Two folders are the least that an overlay without changes takes.
      const lower = [...layers.toReversed(), 'empty'].join(':');
      const mount = `cd "$1" && mkdir empty && mount -t overlay overlay -o "ro,lowerdir=$2" "$1/root"`;
      try {
        await runMeasured(
          { command: ['/bin/sh', '-c', mount, 'sh', place.directory, lower] },
          { signal: AbortSignal.timeout(MOUNT_TIMEOUT_MS) },
        );
        place.signal.throwIfAborted();
      } catch (thrown) {
        await unmount(root, undefined);
        throw thrown;
      }
      const seconds = (performance.now() - beganMs) / 1000;
      return {
        ...{ root, seconds, servedSeconds: undefined, servedFromMs: undefined, pid: undefined },
        [Symbol.asyncDispose]: () => unmount(root, undefined),
      };
    },
  };
}

/** Gives the folders' names, the lowest layer first. A layer is unpacked as soon as it and those below it are there. */
async function pullAndUnpack(
  { repository, tag }: PushedImage,
  { directory, registry, signal }: MountPlace,
  client: RegistryClient,
): Promise<readonly string[]> {
  const from = { registry, repository };
  const layout = await OciLayout.open(join(directory, 'pulled'), { create: true, signal });
  const { layers } = parseManifest((await client.getManifest(from, tag, { signal })).bytes);
  const limit = pLimit(PULL_WIDTH);
  const stop = new AbortController();
  const pulling = { signal: AbortSignal.any([signal, stop.signal]) };
  const pulled = layers.map(({ digest, size }) =>
    limit(async () => {
      const blob = await client.getBlobStream(from, digest, pulling);
      await layout.addBlob(blob, { digest, sizeBytes: size }, pulling);
    }),
  );
  for (const pull of pulled) pull.catch(() => undefined); // awaited in turn
  try {
    for (const [at, { digest, mediaType }] of layers.entries()) {
      await pulled[at];
      await mkdir(join(directory, `l${at}`));
      const flag = TAR_FLAGS[layerCodecOf(mediaType)];
      const script = ['/bin/sh', '-c', UNPACK, 'sh', layout.blobPath(digest), join(directory, `l${at}`), flag] as const;
      await runMeasured({ command: script }, { signal });
    }
  } catch (thrown) {
    stop.abort();
    await Promise.allSettled(pulled);
    throw thrown;
  }
  return layers.map((_, at) => `l${at}`);
}
