import { createHash } from 'node:crypto';
import type { Digest } from '../../digest/index.ts';
import type { Package } from './packages/package.ts';
import type { SpdxDocument } from './packages/spdx.ts';

export const SPDX_MEDIA_TYPE = 'application/spdx+json';

export interface SbomSubject {
  /** `registry/repository:tag`. */
  readonly name: string;
  /** Of the platform's manifest. */
  readonly digest: Digest;
  /** ISO 8601; of the commit where it is known, so that the same image has the same document. */
  readonly created: string;
}

/** The packages of one image as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3). The same image gives the same bytes. */
export function spdxDocument({ created, digest, name }: SbomSubject, packages: readonly Package[]): object {
  const root = 'SPDXRef-Image';
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: namespaceOf(digest),
    creationInfo: { created, creators: [OURSELVES] },
    packages: [
      { SPDXID: root, downloadLocation: 'NOASSERTION', filesAnalyzed: false, ...imageFields({ digest, name }) },
      ...packages.map(elementOf),
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: root },
      ...packages.map((each) => contained(root, each)),
    ],
  };
}

/**
 * A document that another program made of the image's tree, as one of the image: with its name and digest, the packages that the
 * program did not see, and nothing of the moment and the machine, so that the same image gives the same bytes here too.
 */
export function completedSpdx(
  document: SpdxDocument,
  { created, digest, name }: SbomSubject,
  missing: readonly Package[],
): object {
  const root = document.relationships.find(({ relationshipType }) => relationshipType === 'DESCRIBES');
  const rootId = root?.relatedSpdxElement ?? document.SPDXID;
  const { creators } = document.creationInfo;
  return {
    ...document,
    name,
    documentNamespace: `${namespaceOf(digest)}/completed`,
    creationInfo: { ...document.creationInfo, created, creators: [...creators, OURSELVES] },
    packages: [
      ...document.packages.map((each) =>
        each.SPDXID === rootId ? { ...each, ...imageFields({ digest, name }) } : each,
      ),
      ...missing.map(elementOf),
    ],
    relationships: [...document.relationships, ...missing.map((each) => contained(rootId, each))],
  };
}

const OURSELVES = 'Tool: clipyard';

function namespaceOf(digest: Digest): string {
  return `https://clipyard.dev/spdx/${digest.replace(':', '-')}`;
}

function imageFields({ digest, name }: Pick<SbomSubject, 'digest' | 'name'>): object {
  return { name, versionInfo: digest, primaryPackagePurpose: 'CONTAINER' };
}

function elementOf(each: Package): object {
  return {
    SPDXID: idOf(each),
    name: each.name,
    versionInfo: each.version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    sourceInfo: `named by ${each.path}`,
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: each.purl }],
  };
}

function contained(root: string, each: Package): object {
  return { spdxElementId: root, relationshipType: 'CONTAINS', relatedSpdxElement: idOf(each) };
}

function idOf({ path, purl }: Package): string {
  return `SPDXRef-Package-${createHash('sha256').update(`${purl}\0${path}`).digest('hex').slice(0, 16)}`;
}
