import type { Finding, ImageScan } from '../release/index.ts';
import { formatTable } from './output.ts';

/** Who looked at which image, and what was found. */
export function findingTable({
  findings,
  images,
}: {
  readonly findings: readonly Finding[];
  readonly images: readonly (Pick<ImageScan, 'note' | 'readers'> & { readonly variant: string })[];
}): string {
  const looked = images
    .map(({ note, readers, variant }) => {
      const why = note === undefined ? '' : ` (${note})`;
      return `scan of ${variant}, by ${readers.join(', ')}${why}\n`;
    })
    .join('');
  if (findings.length === 0) return `${looked}scan: nothing found\n\n`;
  const rows = findings.map(({ file, line, message, rule, severity, variant }) => [
    severity,
    rule,
    variant ?? '',
    `${file}${line === undefined ? '' : `:${line}`}`,
    message,
  ]);
  return `${looked}${formatTable(['severity', 'rule', 'variant', 'where', 'what'], rows)}\n`;
}
