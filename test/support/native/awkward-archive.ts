import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  baseLayer,
  changeLayer,
  gnuTarLayer,
  type Layout,
  type LayoutCodec,
  replaceLayer,
  sparseGnuLayer,
  sparsePaxLayer,
  writeLayout,
} from '../corpus/index.ts';
import {
  type AssembledArchive,
  assemble,
  imageOf,
  type PackedLayer,
  type PackOptions,
  packLayers,
} from './index-tool.ts';

/** The layers that umoci can unpack, and those that GNU tar has to put on top. */
export async function awkwardTars(): Promise<{ readonly plain: readonly Buffer[]; readonly gnu: readonly Buffer[] }> {
  return {
    plain: [
      baseLayer(),
      changeLayer(),
      replaceLayer(),
      sparsePaxLayer(),
      await gnuTarLayer('pax', '1.0', 'gnutar-pax'),
    ],
    gnu: [sparseGnuLayer(), await gnuTarLayer('gnu', '1.0', 'gnutar-gnu')],
  };
}

export interface MadeArchive extends AssembledArchive {
  readonly path: string;
  readonly layers: readonly PackedLayer[];
  readonly manifest: string;
  readonly manifestDigest: string;
  readonly config: string;
}

export interface MakeOptions extends PackOptions {
  readonly name: string;
  readonly registry?: string;
  readonly repository?: string;
}

/** Packs a layout's layers and assembles their archive. */
export async function makeArchive(
  layout: Layout,
  { name, registry, repository, ...options }: MakeOptions,
): Promise<MadeArchive> {
  const layers = await packLayers(layout.layers, options);
  const { manifest, digest } = await imageOf(layout, layers);
  const files = {
    path: join(options.dir, `${name}.clip`),
    manifest: join(options.dir, `${name}.manifest.json`),
    config: layout.configPath,
  };
  await writeFile(files.manifest, manifest);
  const where = { ...(registry !== undefined && { registry }), ...(repository !== undefined && { repository }) };
  const archive = await assemble({
    output: files.path,
    layers,
    config: files.config,
    manifest: files.manifest,
    manifestDigest: digest,
    ...where,
  });
  return { ...archive, ...files, layers, manifestDigest: digest };
}

export async function layoutOf(dir: string, tars: readonly Buffer[], codec: LayoutCodec = 'plain'): Promise<Layout> {
  return writeLayout(join(dir, `layout-${codec}`), tars, codec);
}
