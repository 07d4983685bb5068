import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../src/objects/index.ts';
import { createRegistryClient } from '../../src/registry/index.ts';
import { buildJson, commandError } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const signal = AbortSignal.timeout(120_000);
const refusal = { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } as const;

/** What a reader can see of the image: the tag in the registry, the pointer in the store. */
async function visible(repository: string, tag: string, imageId: string): Promise<readonly string[]> {
  await using client = createRegistryClient();
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  const target = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository };
  const hasTag = (await client.headManifest(target, tag, { signal })) !== undefined;
  const hasPointer = (await store.head(`images/order/${imageId}.json`, { signal })) !== undefined;
  return [...(hasTag ? ['tag'] : []), ...(hasPointer ? ['pointer'] : [])];
}

test.for<[what: string, server: 'registry' | 'store', method: string, path: RegExp, visible: readonly string[]]>([
  ['a blob', 'registry', 'POST', /\/blobs\/uploads/, []],
  ['the manifest by digest', 'registry', 'PUT', /\/manifests\/sha256:/, []],
  ['the archive', 'store', 'PUT', /\/archives\/.*\.clip$/, []],
  ['the pointer', 'store', 'PUT', /\/images\//, []],
  ['the tag', 'registry', 'PUT', /\/manifests\/order-/, ['pointer']],
])(
  'when %s cannot be written, nothing that needs it is visible, and the next run ends well',
  async ([, server, method, path, expected]) => {
    await using scratch = await temporaryDirectory('order');
    await using registry = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
    await using s3 = await FaultProxy.start(new URL(serviceSetting('AWS_ENDPOINT_URL')).host);
    const imageId = `order_${process.pid}_${path.source.replaceAll(/\W/g, '')}`;
    const context = await smallContext(join(scratch.path, 'context'));
    const repository = `order/${imageId.toLowerCase()}`;
    const args = [
      '--context',
      context,
      '--workspace',
      'order',
      '--image-id',
      imageId,
      '--registry',
      `${registry.address}/${repository}`,
    ];
    const env = { AWS_ENDPOINT_URL: `http://${s3.address}` };
    (server === 'registry' ? registry : s3).inject({ method, path }, refusal, { times: 1000 });
    const error = await commandError(['build', ...args], env);
    expect(error).toMatchObject({ code: server === 'registry' ? 'REGISTRY_DENIED' : 'STORE_DENIED', exitCode: 77 });
    expect(await visible(repository, `order-${imageId}`, imageId)).toEqual(expected);

    const result = await buildJson(
      args.map((arg) => arg.replace(registry.address, serviceSetting('CLIPYARD_REGISTRY'))),
    );
    expect(await visible(repository, `order-${imageId}`, imageId)).toEqual(['tag', 'pointer']);
    expect(result.generation).toBe(expected.includes('pointer') ? 2 : 1);
  },
);
