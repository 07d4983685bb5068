const FIRST_MS = 100;
const MOST_MS = 5000;

/** How long to wait after so many failures in a row: doubled each time, and by chance, so that clients do not come together. */
export function backoffMs(failures: number, random: () => number): number {
  const ceiling = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return ceiling / 2 + (ceiling / 2) * random();
}
