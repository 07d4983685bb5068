import { WorkerError } from '../../errors/index.ts';
import { formatReference, parseReference } from '../../registry/index.ts';

/** A reference with everything that may be left out, as BuildKit names it. Throws SPEC_INVALID. */
export function wholeName(text: string): string {
  try {
    const { digest, tag, ...repository } = parseReference(text);
    const named = tag ?? (digest === undefined ? 'latest' : undefined);
    return formatReference({
      ...repository,
      ...(named !== undefined && { tag: named }),
      ...(digest !== undefined && { digest }),
    });
  } catch (cause) {
    throw new WorkerError('SPEC_INVALID', `the build names ${text.slice(0, 200)}, which is no image`, {}, { cause });
  }
}
