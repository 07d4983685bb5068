import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Scans images with the real syft beside our own readers, and says where they differ: a line of JSON an image. syft is built once a
 * version. Fails where we see a package that syft does not; what syft alone sees of our kinds is named.
 */
const SYFT = process.env['SYFT_VERSION'] ?? '1.44.0';
const root = join(import.meta.dirname, '../..');

/** The kinds that our own readers know. */
const OURS = /^pkg:(?:deb|apk|pypi|npm)\//;
/** Without qualifiers, and in one spelling. */
const keyOf = (purl: string) =>
  decodeURIComponent(purl.replace(/[?#].*$/, ''))
    .replaceAll('_', '-')
    .toLowerCase();

interface Scanned {
  readonly packages: readonly { readonly purl: string; readonly path: string }[];
  readonly readers: readonly string[];
}

function scan(source: string, flags: readonly string[]): Scanned {
  const args = ['--json', 'scan', source, '--trivy', 'never', ...flags];
  const output = execFileSync(join(root, 'scripts/clipyard'), args, {
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output.toString()) as Scanned;
}

/** Into the cache, keyed by version. */
function syftProgram(): string {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clipyard/bin');
  const path = join(cache, `syft-${SYFT}`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, 'syft-'));
  const flags = ['-trimpath', '-ldflags', `-s -w -X main.version=${SYFT}`];
  execFileSync('go', ['install', ...flags, `github.com/anchore/syft/cmd/syft@v${SYFT}`], {
    env: { ...process.env, GOBIN: made, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  renameSync(join(made, 'syft'), path);
  rmSync(made, { recursive: true });
  return path;
}

const sources = process.argv.slice(2);
if (sources.length === 0) throw new Error('name images: WORKSPACE/IMAGE, s3://…, or an archive file');
const program = syftProgram();
const scratch = mkdtempSync(join(tmpdir(), 'clipyard-soak-scan-'));
try {
  for (const source of sources) {
    const sbom = join(scratch, 'sbom.json');
    const ours = scan(source, ['--syft', 'never']).packages.map(({ purl }) => purl);
    const merged = scan(source, ['--syft', program, '--sbom', sbom]);
    const elements = (
      JSON.parse(readFileSync(sbom, 'utf8')) as {
        packages: readonly {
          sourceInfo?: string;
          externalRefs?: readonly { referenceType: string; referenceLocator: string }[];
        }[];
      }
    ).packages;
    // Ours alone are told by what our document says of their source.
    const purls = (isOurs: boolean) =>
      elements
        .filter(({ sourceInfo = '' }) => sourceInfo.startsWith('named by /') === isOurs)
        .flatMap(({ externalRefs = [] }) => externalRefs)
        .flatMap(({ referenceLocator, referenceType }) => (referenceType === 'purl' ? [referenceLocator] : []));
    const known = new Set(ours.map(keyOf));
    const theirs = purls(false);
    const onlySyft = theirs.filter((purl) => OURS.test(purl) && !known.has(keyOf(purl)));
    const otherKinds = Object.groupBy(
      theirs.filter((purl) => !OURS.test(purl)),
      (purl) => /^pkg:([^/]+)/.exec(purl)?.[1] ?? '',
    );
    const onlyOurs = purls(true);
    const report = {
      source,
      readers: merged.readers,
      ours: new Set(ours.map(keyOf)).size,
      syft: new Set(theirs.map(keyOf)).size,
      merged: merged.packages.length,
      onlyOurs,
      onlySyft,
      otherKinds: Object.fromEntries(Object.entries(otherKinds).map(([kind, of]) => [kind, of?.length ?? 0])),
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
    if (onlyOurs.length > 0) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
