import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Test files of more than half a minute, longest first. Where vitest remembers no run it begins with the largest file, and a
 * small one that takes long would keep one worker busy when the others have nothing left.
 */
export const LONGEST: readonly string[] = [
  'test/integration/mount/conformance.test.ts',
  'test/integration/bench/bench.test.ts',
  'test/integration/worker/recovery.test.ts',
  'test/integration/worker/running.test.ts',
  'test/e2e/mount-completed.test.ts',
  'test/e2e/archive-formats.test.ts',
  'test/e2e/worker.test.ts',
  'test/e2e/kill.test.ts',
  'test/e2e/mount-daemon.test.ts',
  'test/e2e/chaos.test.ts',
  'test/e2e/bad-input.test.ts',
  'test/integration/portable/generated-stacks.test.ts',
  'test/integration/mount/engine-fuse.test.ts',
  'test/e2e/rough-use.test.ts',
  'test/e2e/writable.test.ts',
  'test/integration/portable/limits.test.ts',
];

/** The files of LONGEST in front, all others as they came. */
export function longestFirst<File>(files: readonly File[], pathOf: (file: File) => string): File[] {
  const rank = (file: File) => {
    const at = LONGEST.findIndex((known) => pathOf(file).endsWith(`/${known}`));
    return at === -1 ? LONGEST.length : at;
  };
  return files.toSorted((a, b) => rank(a) - rank(b));
}

/** vitest's own order behind the files that are known to take long. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return longestFirst(await super.sort(files), ({ moduleId }) => moduleId);
  }
}
