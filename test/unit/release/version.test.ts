import { describe, expect, test } from 'vitest';
import { mobilityOf, parseGuardVersion } from '../../../src/release/index.ts';
import { readTag } from '../../../src/release/inventory/index.ts';
import { isDate, parseSemanticVersion, splitVariant } from '../../../src/release/version/index.ts';

describe('versions', () => {
  test.for<[text: string, version: string | undefined]>([
    ['1.2.3', '1.2.3'],
    ['v1.2.3-rc.1+b2', '1.2.3-rc.1'],
    ['vv1.2.3', undefined],
    ['=1.2.3', undefined],
    [' 1.2.3', undefined],
    ['01.2.3', undefined],
    ['1.2', undefined],
  ])('%j is %s', ([text, version]) => {
    expect(parseSemanticVersion(text)?.version).toBe(version);
  });

  test.for(['2029.1.9', 'v2029.1.9', '2029.1.9+b1', '2029-01-09', '20290109', '2029.1.9-1030', '1970.1.1'])(
    'D5: %s is a date to whoever asks: it takes no part, and goes by no rule',
    (tag) => {
      expect(isDate(tag)).toBe(true);
      expect(mobilityOf(tag)).toBe('other');
      expect(parseGuardVersion(tag)?.isDate ?? true).toBe(true);
      if (!tag.includes('+')) expect(readTag(tag, { variants: new Set() }).kind).toBe('date');
    },
  );

  test.for(['2029.13.1', '2029.1.32', '3029.1.9', '12345678', '2029.1.9-rc.1', '1.1.1'])('%s is none', (tag) => {
    expect(isDate(tag)).toBe(false);
  });

  test.for<[tag: string, variants: string[], bare: string, variant: string | undefined]>([
    ['1.2.0-python3.13', ['python3.1', 'python3.13'], '1.2.0', 'python3.13'],
    ['1.2.0-slim-python3.9', ['python3.9', 'slim-python3.9'], '1.2.0', 'slim-python3.9'],
    ['1.2.0-rc.1', ['python3.9'], '1.2.0-rc.1', undefined],
    ['python3.9', ['python3.9'], 'python3.9', undefined],
    ['-python3.9', ['python3.9', ''], '-python3.9', undefined],
  ])('D4: %s of %j is %s and %s', ([tag, variants, bare, variant]) => {
    expect(splitVariant(tag, variants)).toEqual({ bare, variant });
  });
});
