import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteString, byteStringOfText } from '../../archive/index.ts';
import { isDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { tarEntries } from '../../portable/index.ts';
import type { BuildSpec } from '../build-spec.ts';
import { readContext } from './context-store.ts';
import { findDockerfile } from './find-dockerfile.ts';
import { requireObjectKey } from './open-context.ts';
import { openSource, type SourceContext } from './open-source.ts';
import { plainTar } from './plain-tar.ts';

const MAX_DOCKERFILE_BYTES = 8 * 1024 * 1024;

/**
 * The text of a build's Dockerfile before the build is queued; undefined where it is not simply there (a link, a name in
 * another form): then only the build itself reads it. A tar is read up to it and no further.
 */
export async function readDockerfile(
  spec: Pick<BuildSpec, 'context' | 'dockerfile' | 'secrets' | 'ssh'>,
  context: SourceContext,
): Promise<string | undefined> {
  const { limits, signal, store, workspaceId } = context;
  const source = spec.context;
  switch (source.type) {
    case 'inline':
      return source.dockerfile;
    case 'uploaded': {
      if (!isDigest(source.digest)) return undefined;
      const bytes = await readContext(workspaceId, source.digest, { signal, store });
      return await findInTar(plainTar(bytes, limits.maxContextBytes), spec.dockerfile);
    }
    case 'object': {
      const { body } = await store.get(requireObjectKey(workspaceId, source.key), { signal });
      try {
        return await findInTar(plainTar(body, limits.maxContextBytes), spec.dockerfile);
      } finally {
        body.destroy();
      }
    }
    case 'git': {
      const directory = join(context.scratchDir, 'context');
      try {
        const opened = await openSource(spec, directory, context);
        return (await findDockerfile(opened.directory, spec.dockerfile)).text;
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    }
  }
}

async function findInTar(plain: AsyncIterable<Uint8Array>, asked: string | undefined): Promise<string | undefined> {
  const wanted = byteStringOfText(asked ?? 'Dockerfile').replace(/^(?:\.\/)+/, '');
  let found: string | undefined;
  try {
    for await (const { data, entry } of tarEntries(plain)) {
      const name = entry.name.replace(/^(?:\.\/)+/, '') as ByteString;
      const isSecondChoice = asked === undefined && name === 'dockerfile';
      if (entry.type !== '0' || (name !== wanted && !isSecondChoice) || entry.sizeBytes > MAX_DOCKERFILE_BYTES)
        continue;
      const parts: Buffer[] = [];
      for await (const part of data) parts.push(part);
      found = Buffer.concat(parts).toString('utf8');
      if (!isSecondChoice) return found;
    }
    return found;
  } catch (thrown) {
    // What is wrong with the tar as a whole, the one who unpacks it says.
    if (!(thrown instanceof WorkerError) || !thrown.code.startsWith('LAYER_')) throw thrown;
    throw new WorkerError(
      'CONTEXT_INVALID',
      `the context is no tar that can be read: ${thrown.message}`,
      {},
      { cause: thrown },
    );
  }
}
