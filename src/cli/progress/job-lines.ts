import type { UntimedJobEvent } from '../../jobs/index.ts';
import { formatBytes } from '../output.ts';

/** The line a person reads for an event of the pipeline behind BuildKit; undefined for what is only worth drawing. */
export function jobLine(event: UntimedJobEvent): string | undefined {
  switch (event.type) {
    case 'layer':
      return `layer ${short(event.digest)} ${event.packed}: ${formatBytes(event.plainBytes)} plain, ${formatBytes(event.sizeBytes)} stored`;
    case 'pushed':
      return `blob ${short(event.digest)} ${event.outcome}${event.outcome === 'sent' ? `: ${formatBytes(event.sizeBytes)}` : ''}`;
    case 'archive':
      return `archive ${short(event.digest)} for ${event.platform}: ${event.entries} entries, ${formatBytes(event.sizeBytes)}`;
    case 'published':
      return `published ${event.what} ${event.name}`;
    case 'phase':
    case 'packing':
    case 'pushing':
    case 'buildkit':
      return undefined;
  }
}

/** Twelve digits of a digest are enough to find it again on a screen. */
export function short(digest: string): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}
