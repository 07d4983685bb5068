import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], testTimeout: number) => ({
  test: { name, include, testTimeout, hookTimeout: testTimeout },
});

export default defineConfig({
  test: {
    // Two cores and real servers: integration files run one after another, unit files side by side.
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
