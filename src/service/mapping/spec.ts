import { parseImageId } from '../../archive/index.ts';
import { BuildSpec as ProtoSpec } from '../../gen/clipyard/v1/build.ts';
import { type BuildSpec, parseBuildSpec, type SecretValue } from '../../worker/index.ts';
import { given, wrongField } from './fields.ts';

/** What a call brings: the spec without its secrets, which have values and are sealed before they become part of it. */
export interface SpecWithSecrets {
  readonly spec: BuildSpec;
  readonly secrets: readonly SecretValue[];
}

const MOST_SECRETS = 64;
/** BuildKit takes no larger ones (secrets.MaxSecretSize). */
const MOST_SECRET_BYTES = 500 * 1024;

/** Throws REQUEST_INVALID, SPEC_INVALID, IMAGE_ID_INVALID. */
export function specFromProto(proto: ProtoSpec): SpecWithSecrets {
  const spec = parseBuildSpec({
    imageId: parseImageId(proto.imageId),
    context: contextFromProto(proto.context),
    dockerfile: given(proto.dockerfile),
    target: given(proto.target),
    platforms: proto.platforms,
    buildArgs: proto.buildArgs,
    labels: proto.labels,
    namedContexts: proto.namedContexts,
    secrets: [],
    ssh: proto.ssh,
    network: given(proto.network),
    noCache: proto.noCache,
    cacheFrom: proto.cacheFrom,
    cacheTo: proto.cacheTo,
    attest: proto.attest,
    compression: given(proto.compression),
    level: proto.level,
    chunkBytes: proto.chunkBytes === 0 ? undefined : proto.chunkBytes,
    archiveFormat: given(proto.archiveFormat),
    alsoAs: given(proto.alsoAs),
    repository: given(proto.repository),
    hermetic: !proto.notHermetic,
  });
  return { spec, secrets: secretsFromProto(proto.secrets) };
}

/** What only a worker adds (sealed secrets, pinned bases, the commit of a git source) is not part of a call. */
export function specToProto({ spec, secrets }: SpecWithSecrets): ProtoSpec {
  return {
    ...ProtoSpec.create(),
    imageId: spec.imageId,
    context: contextToProto(spec.context),
    dockerfile: spec.dockerfile ?? '',
    target: spec.target ?? '',
    platforms: [...spec.platforms],
    buildArgs: { ...spec.buildArgs },
    labels: { ...spec.labels },
    namedContexts: { ...spec.namedContexts },
    secrets: secrets.map(({ id, value, version }) => ({ id, version, value: Buffer.from(value) })),
    ssh: [...spec.ssh],
    network: spec.network,
    noCache: spec.noCache,
    cacheFrom: [...spec.cacheFrom],
    cacheTo: [...spec.cacheTo],
    attest: [...spec.attest],
    compression: spec.compression,
    level: spec.level,
    chunkBytes: spec.chunkBytes ?? 0,
    archiveFormat: spec.archiveFormat,
    alsoAs: spec.alsoAs ?? '',
    repository: spec.repository ?? '',
    notHermetic: !spec.hermetic,
  };
}

function contextFromProto(context: ProtoSpec['context']): object {
  switch (context?.$case) {
    case 'uploaded':
      return { type: 'uploaded', digest: context.value };
    case 'objectKey':
      return { type: 'object', key: context.value };
    case 'git': {
      const { ref, subdirectory, url } = context.value;
      return { type: 'git', url, ref: given(ref), subdirectory: given(subdirectory) };
    }
    case 'dockerfileInline':
      return { type: 'inline', dockerfile: context.value };
    case undefined:
      throw wrongField('spec.context', 'is missing: uploaded, object_key, git or dockerfile_inline is needed');
  }
}

function contextToProto(context: BuildSpec['context']): NonNullable<ProtoSpec['context']> {
  switch (context.type) {
    case 'uploaded':
      return { $case: 'uploaded', value: context.digest };
    case 'object':
      return { $case: 'objectKey', value: context.key };
    case 'git': {
      const { ref = '', subdirectory = '', url } = context;
      return { $case: 'git', value: { url, ref, subdirectory } };
    }
    case 'inline':
      return { $case: 'dockerfileInline', value: context.dockerfile };
  }
}

/** Throws REQUEST_INVALID, whose message holds ids and never a value. */
function secretsFromProto(secrets: ProtoSpec['secrets']): readonly SecretValue[] {
  if (secrets.length > MOST_SECRETS) throw wrongField('spec.secrets', `are more than ${MOST_SECRETS}`);
  const ids = new Set<string>();
  for (const { id, value, version } of secrets) {
    if (id === '' || id.length > 256) throw wrongField('spec.secrets.id', 'is empty or longer than 256 characters');
    if (ids.has(id)) throw wrongField('spec.secrets.id', `${JSON.stringify(id)} is there twice`);
    if (version.length > 256) throw wrongField('spec.secrets.version', 'is longer than 256 characters');
    if (value.length > MOST_SECRET_BYTES)
      throw wrongField('spec.secrets.value', `of ${JSON.stringify(id)} is larger than ${MOST_SECRET_BYTES} bytes`);
    ids.add(id);
  }
  return secrets.map(({ id, value, version }) => ({ id, version, value }));
}
