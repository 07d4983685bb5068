import type { BuildResult } from '../../jobs/index.ts';

/**
 * What reading the new layers back from the registry would have taken, which is how an index is made elsewhere: at the rate at which
 * this build sent. 0 where nothing was sent, as then no rate is known.
 */
export function indexSecondsSaved({
  bytesPushed,
  layers,
  phases,
}: Pick<BuildResult, 'bytesPushed' | 'layers' | 'phases'>): number {
  const sendingMs = phases.find(({ name }) => name === 'pushing')?.durationMs ?? 0;
  if (bytesPushed <= 0 || sendingMs <= 0) return 0;
  const newBytes = layers.reduce((sum, { packed, sizeBytes }) => sum + (packed === 'new' ? sizeBytes : 0), 0);
  return (newBytes / bytesPushed) * (sendingMs / 1000);
}
