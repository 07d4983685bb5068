import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

const project = (name: string, include: string[], testTimeout: number) => ({
  test: { name, include, testTimeout, hookTimeout: testTimeout },
});

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    // Two cores and real servers that tests wait for: three integration files at a time.
    projects: [
      project('unit', ['test/unit/**/*.test.ts', 'test/conformance/unit/**/*.test.ts'], 20_000),
      {
        test: {
          ...project(
            'integration',
            ['test/integration/**/*.test.ts', 'test/interop/**/*.test.ts', 'test/e2e/**/*.test.ts'],
            120_000,
          ).test,
          fileParallelism: true,
          maxWorkers: 3,
          globalSetup: ['test/support/require-services.ts'],
        },
      },
    ],
  },
});
