/** `12.3s`, as `docker build` writes the time of a step. */
export function stepSeconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)}s`;
}
