import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { WorkerConfigSchema, WorkerMetrics } from '../../../src/worker/index.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');

interface Field {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Field>>;
  readonly description?: string;
}

function rowsOf({ properties = {} }: Field, prefix = ''): readonly (readonly [name: string, description: string])[] {
  return Object.entries(properties).flatMap(([name, field]) =>
    field.properties === undefined
      ? [[`${prefix}${name}`, field.description ?? ''] as const]
      : rowsOf(field, `${prefix}${name}.`),
  );
}

test('docs/operations.md has a row for every field of the configuration, with its description', () => {
  const rows = rowsOf(z.toJSONSchema(WorkerConfigSchema, { io: 'input' }) as Field);
  expect(rows.length).toBeGreaterThan(20);
  const missing = rows.filter(
    ([name, description]) => !new RegExp(`^\\| \`${name}\` \\|`, 'm').test(page) || !page.includes(description),
  );
  expect(missing).toEqual([]);
});

test('docs/operations.md has a row for every metric', async () => {
  const metrics = new WorkerMetrics();
  metrics.watch({
    status: () => ({ slots: 1, freeSlots: 1, diskBytes: 1, diskFreeBytes: 1 }) as never,
    depth: () => Promise.reject(new Error('away')),
  });
  const { body } = await metrics.text();
  const names = [...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? '');
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
