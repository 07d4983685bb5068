import type { Cancelable } from '../../../errors/index.ts';
import { parseSpdx, type SpdxDocument } from '../packages/spdx.ts';
import type { ImageTree } from '../scanned-image.ts';
import type { ScanProgram } from './find-program.ts';
import { runProgram, SCAN_BOUNDS } from './run-program.ts';

/**
 * What goes before syft's own defaults, and behind the person's: nothing is asked of a network, and files are read for packages
 * alone, not for digests of their own.
 */
const DEFAULTS = {
  SYFT_CHECK_FOR_APP_UPDATE: 'false',
  SYFT_FILE_METADATA_SELECTION: 'none',
} as const;

/** syft's SBOM of a mounted image. Throws SCAN_TOOL_FAILED. */
export async function runSyft(
  program: ScanProgram,
  { path }: ImageTree,
  { bounds = SCAN_BOUNDS, signal }: Cancelable & { readonly bounds?: typeof SCAN_BOUNDS },
): Promise<SpdxDocument> {
  const text = await runProgram(
    program,
    [
      'scan',
      `dir:${path}`,
      // Absolute links of the image lead into the image, never onto this machine.
      ...['--base-path', path],
      // A folder is taken for a source tree: what is installed in an image is found by the others.
      ...['--override-default-catalogers', 'image'],
      ...['--source-name', 'image'],
      ...['--output', 'spdx-json'],
      '--quiet',
    ],
    { bounds, signal, defaults: DEFAULTS },
  );
  return parseSpdx(text, program.path);
}

/** `syft-1.44.0`, as the document says. */
export function syftName({ creationInfo }: SpdxDocument): string {
  return creationInfo.creators.find((creator) => creator.startsWith('Tool: syft'))?.slice('Tool: '.length) ?? 'syft';
}
