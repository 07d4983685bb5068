import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const source = (path: string) => pathToFileURL(join(import.meta.dirname, '../../../src', path)).href;

/** The modules that Node loads for a module of ours. */
function loadedBy(path: string): readonly string[] {
  const script = `
    import { registerHooks } from 'node:module';
    const seen = [];
    registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) });
    await import(${JSON.stringify(source(path))});
    process.stdout.write(JSON.stringify(seen));
  `;
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8', maxBuffer: 1 << 24 }),
  ) as string[];
}

test.for(['cli/index.ts', 'cli/actions/index-image.ts', 'cli/actions/archive.ts'])(
  '%s loads no registry, store, gRPC or chart library before it is needed',
  (path) => {
    const heavy = /\/node_modules\/(?:undici|@aws-sdk|@smithy|@grpc|@noble|vega|vega-lite)\/|\/src\/gen\//;
    expect(loadedBy(path).filter((url) => heavy.test(url))).toEqual([]);
  },
);
