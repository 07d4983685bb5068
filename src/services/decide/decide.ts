import type { Digest } from '../../digest/index.ts';
import { isSameImage, type LocalImage, type PresentImage, type RemoteImage } from './image-facts.ts';

/** Everything the decision about one service is made from. */
export interface Facts {
  readonly service: string;
  readonly force: boolean;
  /** False: an image that is there is taken for what the sources would give. */
  readonly diffCheck: boolean;
  readonly push: boolean;
  readonly version: string | undefined;
  /** undefined where it was not looked at. */
  readonly contextHash: string | undefined;
  /** Bases that have no digest, with the reason. */
  readonly unknownBases: readonly string[];
  readonly local: LocalImage | undefined;
  /** The local image's digest in the repository, under whatever tag; undefined: not asked. */
  readonly localInRegistry: RemoteImage | undefined;
  /** The tags that would be written, the version first; none where the registry is not asked. */
  readonly remotes: readonly RemoteImage[];
}

/** What decided. */
export type Layer = 'force' | 'existence' | 'no-diff-check' | 'bases' | 'context-hash' | 'label' | 'registry-digest';

export interface Decision {
  /**
   * `skip`: nothing to build, and no tag to write. `push-only`: nothing to build, tags to write. `refuse`: the version is
   * released from other sources.
   */
  readonly action: 'skip' | 'push-only' | 'build' | 'refuse';
  readonly layer: Layer;
  readonly reason: string;
  /** What is not built again, and where its bytes are. */
  readonly image?: { readonly digest: Digest; readonly from: 'local' | 'registry' };
  /** For `--debug` and `--explain`, in the order in which it was found out. */
  readonly found: readonly string[];
  /** What the registry was asked and did not say, with the reason. */
  readonly unanswered: readonly string[];
}

/** Looks at the layers one after another; the first that knows decides. */
export function decide(facts: Facts): Decision {
  const found: string[] = [];
  const { local, localInRegistry, remotes, service } = facts;
  const unanswered = [...remotes, ...(localInRegistry === undefined ? [] : [localInRegistry])].flatMap((remote) =>
    remote.state === 'unknown' ? [`The registry could not be asked for ${remote.tag}: ${remote.reason}`] : [],
  );
  const end = (action: Decision['action'], layer: Layer, reason: string, image?: Decision['image']): Decision => ({
    action,
    layer,
    reason,
    found,
    unanswered,
    ...(image !== undefined && { image }),
  });
  const present = remotes.filter((remote) => remote.state === 'present');
  const released = facts.push ? present.find(({ tag }) => tag === facts.version) : undefined;
  const isOther = released !== undefined && !comesFromThese(released, facts);
  if (facts.diffCheck && isOther)
    return end(
      'refuse',
      'label',
      `${released.tag} is released from other sources and never changes; name another version`,
    );
  if (facts.force) return end('build', 'force', 'asked for by --force');
  if (local === undefined && present.length === 0) {
    const unknown = remotes.some(({ state }) => state === 'unknown');
    return end(
      'build',
      'existence',
      unknown ? 'no image is known here, and the registry could not be asked' : 'there is no image yet',
    );
  }
  const known = facts.diffCheck ? knownImage(facts, present, found) : anyImage(facts, present);
  if (known === undefined) {
    if (facts.unknownBases.length > 0)
      return end('build', 'bases', `a base image has no known digest: ${facts.unknownBases.join('; ')}`);
    found.push(`Build context hash changed for ${service}`);
    return end('build', local === undefined ? 'label' : 'context-hash', 'the build context changed');
  }
  const { image, layer } = known;
  if (image.from === 'local' && facts.push && local?.isKept === false && localInRegistry?.state !== 'present')
    return end(
      'build',
      'existence',
      localInRegistry?.state === 'unknown'
        ? 'the image built before is not kept here, and the registry could not be asked'
        : 'the image built before is neither kept here nor in the registry',
    );
  const same = (remote: RemoteImage) =>
    remote.state === 'present' && isSameImage({ digest: image.digest, configDigest: configOf(image, facts) }, remote);
  if (facts.push && !remotes.every(same))
    return end('push-only', 'registry-digest', 'the image is up to date, its tags in the registry are not', image);
  if (facts.push) found.push(`Local and remote digests match for ${service}`);
  found.push(`Image ${service} is up to date, skipping build`);
  return end('skip', facts.push ? 'registry-digest' : layer, reasonOf(layer), image);
}

type Known = { readonly image: NonNullable<Decision['image']>; readonly layer: Layer };

/** An image that these very sources gave. Released ones go first: their bytes never change. */
function knownImage(facts: Facts, present: readonly PresentImage[], found: string[]): Known | undefined {
  const { contextHash, local, service, unknownBases } = facts;
  if (contextHash === undefined || unknownBases.length > 0) return undefined;
  const isLocal = local?.contextHash === contextHash;
  if (isLocal) found.push(`Build context hash is unchanged for ${service}`);
  const released = present.find(({ tag, contextHash: label }) => tag === facts.version && label === contextHash);
  if (released !== undefined) return { image: { digest: released.digest, from: 'registry' }, layer: 'label' };
  if (isLocal) return { image: { digest: local.digest, from: 'local' }, layer: 'context-hash' };
  const labelled = present.find(({ contextHash: label }) => label === contextHash);
  if (labelled === undefined) return undefined;
  found.push(`The registry's ${labelled.tag} of ${service} has the same build context hash`);
  return { image: { digest: labelled.digest, from: 'registry' }, layer: 'label' };
}

function anyImage({ local }: Facts, present: readonly PresentImage[]): Known | undefined {
  const [first] = present;
  const image =
    local !== undefined
      ? { digest: local.digest, from: 'local' as const }
      : first !== undefined
        ? { digest: first.digest, from: 'registry' as const }
        : undefined;
  return image === undefined ? undefined : { image, layer: 'no-diff-check' };
}

/** Whether a released image is what these sources would give, as far as can be said. */
function comesFromThese(released: PresentImage, { contextHash, local, unknownBases }: Facts): boolean {
  if (contextHash === undefined) return true;
  if (local !== undefined && local.contextHash === contextHash && isSameImage(local, released)) return true;
  return unknownBases.length === 0 && released.contextHash === contextHash;
}

function configOf(image: NonNullable<Decision['image']>, { local, remotes }: Facts): Digest | undefined {
  if (image.from === 'local') return local?.configDigest;
  for (const remote of remotes)
    if (remote.state === 'present' && remote.digest === image.digest) return remote.configDigest;
  return undefined;
}

function reasonOf(layer: Layer): string {
  switch (layer) {
    case 'no-diff-check':
      return 'there is an image, and its sources were not looked at';
    case 'label':
      return 'the registry has an image of the same build context';
    default:
      return 'nothing changed since it was built';
  }
}
