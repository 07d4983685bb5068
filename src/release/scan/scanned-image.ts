import type { Cancelable } from '../../errors/index.ts';
import type { ImageConfig } from '../../oci/index.ts';

/** The image's whole tree, for as long as it is held. */
export interface ImageTree extends AsyncDisposable {
  /** Absolute path of its root; read-only. */
  readonly path: string;
}

/** An image that a scanner can look into without pulling it. */
export interface ScannedImage {
  readonly config: ImageConfig;
  /** Absolute paths of its regular files. */
  readonly files: readonly string[];
  /** A whole file. */
  read(path: string, options: Cancelable): Promise<string>;
  /** Mounts it, for programs that look by themselves. Throws the mount's codes. */
  mount(options: Cancelable): Promise<ImageTree>;
}
