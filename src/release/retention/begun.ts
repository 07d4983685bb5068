import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import { type Cancelable, systemCodeOf, toWorkerError } from '../../errors/index.ts';
import { makeDirectory, writeFileAtomically } from '../../files/index.ts';
import type { Repository } from '../../registry/index.ts';

const BegunSchema = z.object({
  version: z.literal(1),
  repository: z.string(),
  digests: z.array(z.string().refine((text): text is Digest => isDigest(text))),
});

/**
 * What a run is about to delete, on disk from before the first deletion until after the last: the children of an index that is gone
 * cannot be seen through the distribution API, so the next run has to be told of them.
 */
export class BegunDeletions {
  readonly #path: string;
  readonly #repository: string;

  constructor(stateDirectory: string, { registry, repository }: Repository) {
    this.#repository = `${registry}/${repository}`;
    const name = createHash('sha256').update(this.#repository).digest('hex').slice(0, 32);
    this.#path = join(stateDirectory, 'retention', `${name}.json`);
  }

  /** Empty when no run was interrupted, and when the file cannot be understood: it only saves space. */
  async read(): Promise<ReadonlySet<Digest>> {
    try {
      const { digests, repository } = BegunSchema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
      return new Set(repository === this.#repository ? digests : []);
    } catch (thrown) {
      const code = systemCodeOf(thrown);
      if (code !== undefined && code !== 'ENOENT') throw toWorkerError(thrown, `read ${this.#path}`);
      return new Set();
    }
  }

  async write(digests: Iterable<Digest>, { signal }: Cancelable): Promise<void> {
    await makeDirectory(dirname(this.#path));
    const document = { version: 1, repository: this.#repository, digests: [...digests] };
    await writeFileAtomically(this.#path, `${JSON.stringify(document)}\n`, { signal });
  }

  async clear(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}
