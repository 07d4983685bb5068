import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export function tarName(layer: number): string {
  return `layer${layer}.tar`;
}

/** Steps that make the image again, a tar a layer. */
export async function writeDockerfile(contextDir: string, tars: readonly string[]): Promise<void> {
  const adds = tars.map((tar) => `ADD ${tar} /\n`);
  await writeFile(join(contextDir, 'Dockerfile'), `FROM scratch\n${adds.join('')}CMD ["/bin/true"]\n`);
}
