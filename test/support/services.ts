/** A value of `scripts/services.sh env`. */
export function serviceSetting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see test/support/require-services.ts`);
  return value;
}
