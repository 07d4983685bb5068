import { z } from 'zod';
import { WorkerError } from '../../../errors/index.ts';
import type { Distribution, Package } from './package.ts';
import { normalPython, type Purl, parsePurl } from './purl.ts';

/** https://spdx.github.io/spdx-spec/v2.3, as far as packages are read from it; all else is kept as it is. */
const SpdxPackage = z.looseObject({
  SPDXID: z.string(),
  name: z.string(),
  sourceInfo: z.string().optional(),
  externalRefs: z
    .array(z.looseObject({ referenceType: z.string().optional(), referenceLocator: z.string().optional() }))
    .optional(),
});
export const SpdxDocument = z.looseObject({
  spdxVersion: z.literal('SPDX-2.3'),
  SPDXID: z.string(),
  creationInfo: z.looseObject({ creators: z.array(z.string()) }),
  packages: z.array(SpdxPackage).default([]),
  relationships: z
    .array(z.looseObject({ spdxElementId: z.string(), relationshipType: z.string(), relatedSpdxElement: z.string() }))
    .default([]),
});
export type SpdxDocument = z.infer<typeof SpdxDocument>;

/** Throws SCAN_TOOL_FAILED, with the place, for what is no SPDX 2.3 document. */
export function parseSpdx(text: string, program: string): SpdxDocument {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new WorkerError('SCAN_TOOL_FAILED', `${program} wrote something that is no JSON`, {}, { cause });
  }
  const parsed = SpdxDocument.safeParse(document);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.join('.') ?? '';
  throw new WorkerError('SCAN_TOOL_FAILED', `${program} wrote no SPDX 2.3: ${where}: ${issue?.message ?? 'wrong'}`);
}

/** What the document says of packages that OSV has an ecosystem for; others stay in the document alone. */
export function packagesOfSpdx({ packages }: SpdxDocument, distribution: Distribution): readonly Package[] {
  return packages.flatMap(({ externalRefs = [], sourceInfo = '' }) => {
    const text = externalRefs.find(({ referenceType }) => referenceType === 'purl')?.referenceLocator ?? '';
    const purl = parsePurl(text);
    const known = purl === undefined ? undefined : ECOSYSTEMS.get(purl.type)?.(purl, distribution);
    // `acquired package info from …: /usr/bin/tool, /var/lib/…`
    const path = /: (\/[^,]*)/.exec(sourceInfo)?.[1] ?? '/';
    return known === undefined ? [] : [{ source: known.name, ...known, purl: text, path }];
  });
}

type Known = Pick<Package, 'ecosystem' | 'name' | 'version'> & Partial<Pick<Package, 'source'>>;

/** By the type of a purl; names and versions as OSV has them. */
const ECOSYSTEMS: ReadonlyMap<string, (purl: Purl, distribution: Distribution) => Known> = new Map(
  Object.entries({
    apk: ({ name, qualifiers, version }, { version: release }) => ({
      name,
      version,
      ecosystem: `Alpine:v${release.split('.').slice(0, 2).join('.')}`,
      source: qualifiers.get('upstream')?.split('@')[0] ?? name,
    }),
    cargo: ({ name, version }) => ({ name, version, ecosystem: 'crates.io' }),
    composer: ({ name, namespace, version }) => ({ name: joined(namespace, name), version, ecosystem: 'Packagist' }),
    deb: ({ name, namespace, qualifiers, version }, { version: release }) => {
      // `upstream=glibc@2.36-9`: the version is left out where it is the package's own.
      const [source = name, sourceVersion = version] = qualifiers.get('upstream')?.split('@') ?? [];
      const ecosystem = `${namespace === 'ubuntu' ? 'Ubuntu' : 'Debian'}:${release}`;
      return { name, version: sourceVersion, ecosystem, source };
    },
    gem: ({ name, version }) => ({ name, version, ecosystem: 'RubyGems' }),
    golang: ({ name, namespace, version }) => ({
      name: joined(namespace, name),
      version: version.replace(/^(?:v|go)/, ''),
      ecosystem: 'Go',
    }),
    maven: ({ name, namespace, version }) => ({ name: joined(namespace, name, ':'), version, ecosystem: 'Maven' }),
    npm: ({ name, namespace, version }) => ({ name: joined(namespace, name), version, ecosystem: 'npm' }),
    nuget: ({ name, version }) => ({ name, version, ecosystem: 'NuGet' }),
    pypi: ({ name, version }) => ({ name: normalPython(name), version, ecosystem: 'PyPI' }),
  }),
);

function joined(namespace: string, name: string, separator = '/'): string {
  return namespace === '' ? name : `${namespace}${separator}${name}`;
}
