/**
 * The variant that a tag ends in behind a dash, and what stands in front of it. The longest name that fits: `-python3.13` must not be
 * taken for `-python3.1` with something left over, nor `slim-python3.9` for `python3.9`.
 */
export function splitVariant(
  tag: string,
  variants: Iterable<string>,
): { readonly bare: string; readonly variant: string | undefined } {
  const fitting = [...variants].filter(
    (name) => name !== '' && tag.endsWith(`-${name}`) && tag.length > name.length + 1,
  );
  const [variant] = fitting.toSorted((one, other) => other.length - one.length);
  return { bare: variant === undefined ? tag : tag.slice(0, -variant.length - 1), variant };
}
