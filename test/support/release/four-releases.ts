import { type Digest, hexOf } from '../../../src/digest/index.ts';
import { MemoryRepository } from './memory-repository.ts';

export interface FourReleases {
  readonly model: MemoryRepository;
  /** What goes when the two newest stay, and no store names a part of it. */
  readonly garbage: readonly Digest[];
  readonly kept: readonly Digest[];
  /** A platform of 1.0.0 alone: garbage with an SBOM. */
  readonly own: Digest;
}

/**
 * Four releases of two platforms with attestations; 1.0.0 and 1.1.0 share a platform, 1.1.0 and 1.3.0 another one; 1.1.0 is also what
 * `main` names; signatures and an SBOM hang on 1.0.0, its platform and 1.3.0.
 */
export function fourReleases(): FourReleases {
  const model = new MemoryRepository();
  const created = (day: number) => new Date(Date.UTC(2026, 0, day)).toISOString();
  const shared = model.image({ name: 'shared by 1.0.0 and 1.1.0', created: created(1) });
  const alsoShared = model.image({ name: 'shared by 1.1.0 and 1.3.0', created: created(2), platform: 'linux/arm64' });
  const own = model.image({ name: 'of 1.0.0 alone', created: created(1), platform: 'linux/arm64' });
  const attestation = model.attestation('provenance of 1.0.0');
  const first = model.index([shared, own, attestation], { release: '1.0.0' });
  const second = model.index([shared, alsoShared], { release: '1.1.0' });
  const third = model.index([model.image({ name: '1.2.0', created: created(3) })], { release: '1.2.0' });
  const fourth = model.index([model.image({ name: '1.3.0', created: created(4) }), alsoShared], { release: '1.3.0' });
  const signature = model.referrer(first, 'signature of 1.0.0');
  const sbom = model.referrer(own, 'sbom of a platform of 1.0.0');
  const signedSbom = model.referrer(sbom, 'signature of the sbom');
  const keptSignature = model.referrer(fourth, 'signature of 1.3.0');
  const cosign = model.image({ name: 'cosign', created: created(1) });
  model.tags.set('1.0.0', first);
  model.tags.set('1.1.0', second);
  model.tags.set('main', second);
  model.tags.set('1.2.0', third);
  model.tags.set('1.3.0', fourth);
  model.tags.set('latest', fourth);
  model.tags.set(`sha256-${hexOf(first)}.sig`, cosign);
  const garbage = [first, own, attestation, signature, sbom, signedSbom, cosign];
  return { model, garbage, kept: [shared, alsoShared, second, third, fourth, keptSignature], own };
}
