/** What `scripts/services.sh env` prints; integration tests speak to these. */
const NEEDED = [
  'CLIPYARD_REGISTRY',
  'CLIPYARD_STORE',
  'AWS_ENDPOINT_URL',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'CLIPYARD_BUILDKIT',
  'CLIPYARD_REDIS',
];

/** Runs once before the integration tests: without services they would fail one by one for the same reason. */
export function setup(): void {
  const missing = NEEDED.filter((name) => !process.env[name]);
  if (missing.length === 0) return;
  throw new Error(
    `${missing.join(', ')} not set: run scripts/services.sh start, then eval "$(scripts/services.sh env)"`,
  );
}
