/** Compares texts number by number: 3.9 is below 3.10, which text order would not say. */
export function compareVariants(one: string, other: string): number {
  const [left, right] = [partsOf(one), partsOf(other)];
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const [a, b] = [left[at], right[at]];
    if (a === undefined) return -1;
    if (b === undefined) return 1;
    const order = comparePart(a, b);
    if (order !== 0) return order;
  }
  return 0;
}

/** The lowest, number by number. */
export function oldestVariant(variants: readonly string[]): string | undefined {
  return variants.toSorted(compareVariants)[0];
}

function partsOf(text: string): readonly string[] {
  return text.match(/\d+|[^\d.]+/g) ?? [];
}

/** Numbers of any length as numbers, and below text. */
function comparePart(a: string, b: string): number {
  const [isNumber, isOtherNumber] = [/^\d/.test(a), /^\d/.test(b)];
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  if (!isNumber) return a < b ? -1 : a > b ? 1 : 0;
  const difference = BigInt(a) - BigInt(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
