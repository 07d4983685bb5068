import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { goProgram } from './go-program.ts';
import { scan } from './scanned.ts';

/** The kinds that our own readers know. */
const OURS = /^pkg:(?:deb|apk|pypi|npm)\//;
/** Without qualifiers, and in one spelling. */
const keyOf = (purl: string) =>
  decodeURIComponent(purl.replace(/[?#].*$/, ''))
    .replaceAll('_', '-')
    .toLowerCase();

interface Sbom {
  readonly packages: readonly {
    readonly sourceInfo?: string;
    readonly externalRefs?: readonly { readonly referenceType: string; readonly referenceLocator: string }[];
  }[];
}

export interface SyftComparison {
  readonly readers: readonly string[];
  readonly ours: number;
  readonly syft: number;
  readonly merged: number;
  /** Purls. There should be none. */
  readonly onlyOurs: readonly string[];
  /** Of our kinds. */
  readonly onlySyft: readonly string[];
  readonly otherKinds: Readonly<Record<string, number>>;
}

export function syftProgram(): string {
  return goProgram({
    name: 'syft',
    module: 'github.com/anchore/syft',
    version: process.env['SYFT_VERSION'] ?? '1.44.0',
    folder: 'cmd/syft',
    versionVariable: 'main.version',
  });
}

/** Packages that syft sees in an image beside those that our own readers see. */
export function compareSyft(source: string, program: string, scratch: string): SyftComparison {
  const sbom = join(scratch, 'sbom.json');
  const ours = scan(source, []).packages.map(({ purl }) => purl);
  const merged = scan(source, ['--syft', program, '--sbom', sbom]);
  const { packages } = JSON.parse(readFileSync(sbom, 'utf8')) as Sbom;
  // Ours alone are told by what our document says of their source.
  const purls = (isOurs: boolean) =>
    packages
      .filter(({ sourceInfo = '' }) => sourceInfo.startsWith('named by /') === isOurs)
      .flatMap(({ externalRefs = [] }) => externalRefs)
      .flatMap(({ referenceLocator, referenceType }) => (referenceType === 'purl' ? [referenceLocator] : []));
  const known = new Set(ours.map(keyOf));
  const theirs = purls(false);
  const otherKinds = Object.groupBy(
    theirs.filter((purl) => !OURS.test(purl)),
    (purl) => /^pkg:([^/]+)/.exec(purl)?.[1] ?? '',
  );
  return {
    readers: merged.readers,
    ours: known.size,
    syft: new Set(theirs.map(keyOf)).size,
    merged: merged.packages.length,
    onlyOurs: purls(true),
    onlySyft: theirs.filter((purl) => OURS.test(purl) && !known.has(keyOf(purl))),
    otherKinds: Object.fromEntries(Object.entries(otherKinds).map(([kind, of]) => [kind, of?.length ?? 0])),
  };
}
