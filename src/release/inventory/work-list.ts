/**
 * Work that brings more work, `width` at a time; each item once. Ends when nothing is left, or with the first error, when all that had
 * begun is over.
 */
export async function workThrough<T>(
  start: Iterable<T>,
  width: number,
  work: (item: T, add: (item: T) => void) => Promise<void>,
): Promise<void> {
  const known = new Set(start);
  const waiting = [...known];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const add = (item: T) => {
    if (known.has(item)) return;
    known.add(item);
    waiting.push(item);
  };
  while (running.size > 0 || (waiting.length > 0 && failures.length === 0)) {
    while (running.size < width && waiting.length > 0 && failures.length === 0) {
      const item = waiting.shift() as T;
      const task = work(item, add)
        .catch((thrown: unknown) => {
          failures.push(thrown);
        })
        .finally(() => running.delete(task));
      running.add(task);
    }
    await Promise.race(running);
  }
  if (failures.length > 0) throw failures[0];
}
