import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BundledProgram, bundledProgram, SOURCE_PROGRAM } from '../../support/bundled-program.ts';

const run = promisify(execFile);

let program: BundledProgram;
beforeAll(async () => {
  program = await bundledProgram();
});
afterAll(async () => {
  await program[Symbol.asyncDispose]();
});

const output = async (path: string, args: readonly string[]) => (await run(process.execPath, [path, ...args])).stdout;

test('the bundle runs without a Node in front, as npm links it', async () => {
  const { stdout } = await run(program.path, ['--version'], {
    env: { PATH: join(process.execPath, '..') },
  });
  expect(stdout).toBe('0.1.0\n');
});

test.for([['--version'], ['--help'], ['index', '--help'], ['cache', 'gc', '--help']])(
  'the bundle says to %j what the sources say',
  async (args) => {
    expect(await output(program.path, args)).toBe(await output(SOURCE_PROGRAM, args));
  },
);

test('every command is in the bundle, behind a late import', async () => {
  const actions = program.files.flatMap(({ modules, path }) =>
    modules.filter((module) => module.includes('/src/cli/actions/')).map((module) => ({ module, path })),
  );
  expect(actions.length).toBeGreaterThanOrEqual(8);
  expect(actions.filter(({ path }) => loaded.has(path))).toEqual([]);
});

test('the bundle starts with few files and without registry, store, gRPC or chart library', () => {
  expect(loaded.size).toBeLessThan(20);
  const heavy = /\/node_modules\/(?:undici|@aws-sdk|@smithy|@grpc|@noble|@bufbuild|vega|vega-lite)\/|\/src\/gen\//;
  const modules = program.files.filter(({ path }) => loaded.has(path)).flatMap((file) => file.modules);
  expect(modules.length).toBeGreaterThan(20);
  expect([...modules, ...loaded].filter((name) => heavy.test(name))).toEqual([]);
});

/** Files that Node loads to answer --version. */
let loaded: ReadonlySet<string>;
beforeAll(async () => {
  const script = `
    import { registerHooks } from 'node:module';
    const seen = [];
    registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) });
    process.on('exit', () => process.stderr.write(JSON.stringify(seen.filter((url) => url.startsWith('file:')))));
    process.argv = [process.argv[0], 'clipyard', '--version'];
    await import(${JSON.stringify(pathToFileURL(program.path).href)});
  `;
  const { stderr } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  loaded = new Set((JSON.parse(stderr) as string[]).map((url) => fileURLToPath(url)));
});

test('the bundle is what the package gives as its command', async () => {
  const root = join(SOURCE_PROGRAM, '../../..');
  const { bin, scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    readonly bin: unknown;
    readonly scripts: Readonly<Record<string, string>>;
  };
  expect(bin).toEqual({ clipyard: 'dist/bin/cli.js' });
  expect(scripts['build']).toBe('node scripts/bundle.ts');
});
