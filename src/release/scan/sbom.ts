import { createHash } from 'node:crypto';
import type { Digest } from '../../digest/index.ts';
import type { Package } from './packages/package.ts';

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
  const image = 'SPDXRef-Image';
  const ids = packages.map((each) => `SPDXRef-Package-${shortHash(`${each.purl}\0${each.path}`)}`);
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `https://clipyard.dev/spdx/${digest.replace(':', '-')}`,
    creationInfo: { created, creators: ['Tool: clipyard'] },
    packages: [
      {
        SPDXID: image,
        name,
        versionInfo: digest,
        downloadLocation: 'NOASSERTION',
        filesAnalyzed: false,
        primaryPackagePurpose: 'CONTAINER',
      },
      ...packages.map((each, at) => ({
        SPDXID: ids[at],
        name: each.name,
        versionInfo: each.version,
        downloadLocation: 'NOASSERTION',
        filesAnalyzed: false,
        sourceInfo: `named by ${each.path}`,
        externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: each.purl }],
      })),
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: image },
      ...ids.map((id) => ({ spdxElementId: image, relationshipType: 'CONTAINS', relatedSpdxElement: id })),
    ],
  };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
