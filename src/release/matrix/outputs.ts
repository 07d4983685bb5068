import { type MatrixTags, variantTag } from './calculate.ts';
import type { MatrixConfig } from './config.ts';

/**
 * The outputs of a calculation by name, lists with commas: `primary_tags`, `<prefix>_tags`, `precision_tags`; and what a workflow needs
 * to decide (`kind`, `version`, `push`).
 */
export function matrixOutputs(config: MatrixConfig, matrix: MatrixTags): Readonly<Record<string, string>> {
  const { event, precision, primary, push, variants } = matrix;
  return {
    primary_tags: primary.join(','),
    [variantListName(config)]: variants.join(','),
    precision_tags: precision.join(','),
    kind: event.kind,
    version: event.kind === 'release' ? event.version : '',
    push: String(push),
    variants: config.variants.join(','),
    default_tag: variantTag(config, config.defaultVariant),
  };
}

/** `python_tags`; `variant_tags` where the prefix is none. */
function variantListName({ prefix }: MatrixConfig): string {
  const name = prefix
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '_')
    .replaceAll(/^_+|_+$/g, '');
  return `${name === '' ? 'variant' : name}_tags`;
}
