// `npm run gen`: fills proto/vendor from pinned packages and writes src/gen. Does nothing when no input changed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const vendor = join(root, 'proto/vendor');
const generated = join(root, 'src/gen');
const stamp = join(root, '.clipyard/stamps/gen-proto');
const goModule = join(root, 'native-tools/go/buildkit');

/** Go modules that hold .proto files, and the files taken. Import paths are module path + file path. */
const FROM_GO: Readonly<Record<string, readonly string[]>> = {
  'github.com/moby/buildkit': [
    'api/services/control/control.proto',
    'api/types/worker.proto',
    'solver/pb/ops.proto',
    'sourcepolicy/pb/policy.proto',
    'session/auth/auth.proto',
    'session/exporter/exporter.proto',
    'session/filesync/filesync.proto',
    'session/secrets/secrets.proto',
    'session/sshforward/ssh.proto',
    'session/upload/upload.proto',
  ],
  'github.com/containerd/containerd/api': ['services/content/v1/content.proto'],
  'github.com/tonistiigi/fsutil': ['types/stat.proto', 'types/wire.proto'],
};
/** npm packages: source below node_modules, import path. No Go module carries these. */
const FROM_NPM: readonly (readonly [from: string, to: string])[] = [
  ['google-proto-files/google/rpc/status.proto', 'google/rpc/status.proto'],
  ['google-proto-files/google/rpc/error_details.proto', 'google/rpc/error_details.proto'],
  ['grpc-health-check/proto/health/v1/health.proto', 'grpc/health/v1/health.proto'],
  ...['v1', 'v1alpha'].map((version): readonly [string, string] => [
    `@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`,
    `grpc/reflection/${version}/reflection.proto`,
  ]),
];
/** What a worker's reflection service tells of: its services, the details of its errors, and all they import. */
const REFLECTED = ['clipyard/v1', 'google/rpc', 'grpc/health/v1', 'grpc/reflection'];

const ownProtos = (): string[] => globSync('clipyard/**/*.proto', { cwd: join(root, 'proto') }).sort();

function inputsDigest(): string {
  const hash = createHash('sha256');
  const packages = ['@bufbuild/buf', 'ts-proto', 'google-proto-files', 'grpc-health-check', '@grpc/reflection'];
  const files = [
    'scripts/gen-proto.ts',
    'proto/SOURCES.md',
    'proto/buf.yaml',
    'proto/buf.gen.yaml',
    'native-tools/go/buildkit/go.mod',
    ...packages.map((name) => `node_modules/${name}/package.json`),
    ...ownProtos().map((name) => `proto/${name}`),
  ];
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function moduleDirectories(): Map<string, string> {
  const go = (...args: string[]) => execFileSync('go', args, { cwd: goModule, encoding: 'utf8' });
  const names = Object.keys(FROM_GO);
  go('mod', 'download', ...names);
  const lines = go('list', '-m', '-f', '{{.Path}}\t{{.Dir}}', ...names)
    .trim()
    .split('\n');
  return new Map(lines.map((line) => line.split('\t') as [string, string]));
}

/** Deletes vtprotobuf's import and its one option: a Go allocation hint that would pull in 4 000 generated lines. */
function withoutVtproto(source: string): string {
  return source
    .replace(/^\s*import "github\.com\/planetscale\/vtprotobuf\/.*\n/m, '')
    .replace(/^\s*option \(vtproto\..*\n/gm, '');
}

function fillVendor(): void {
  rmSync(vendor, { recursive: true, force: true });
  const put = (path: string, source: string) => {
    mkdirSync(dirname(join(vendor, path)), { recursive: true });
    writeFileSync(join(vendor, path), withoutVtproto(source));
  };
  const directories = moduleDirectories();
  for (const [name, files] of Object.entries(FROM_GO)) {
    const directory = directories.get(name);
    if (directory === undefined) throw new Error(`go list did not name a directory for ${name}`);
    for (const file of files) put(join(name, file), readFileSync(join(directory, file), 'utf8'));
  }
  for (const [from, to] of FROM_NPM) put(to, readFileSync(join(root, 'node_modules', from), 'utf8'));
  for (const name of ownProtos()) put(name, readFileSync(join(root, 'proto', name), 'utf8'));
}

function generate(): void {
  const output = `${generated}.tmp`;
  rmSync(output, { recursive: true, force: true });
  const buf = (...args: string[]) =>
    execFileSync(join(root, 'node_modules/.bin/buf'), args, { cwd: join(root, 'proto'), stdio: ['ignore', 'pipe', 2] });
  buf('generate', '--output', output);
  const paths = REFLECTED.flatMap((path) => ['--path', `vendor/${path}`]);
  const descriptors = buf('build', '--as-file-descriptor-set', '--exclude-source-info', ...paths, '--output', '-');
  // A module and not a file beside it: it is found from the sources and from the bundle alike.
  writeFileSync(
    join(output, 'descriptors.ts'),
    `/** A google.protobuf.FileDescriptorSet. */\nexport const DESCRIPTORS = '${descriptors.toString('base64')}';\n`,
  );
  rmSync(generated, { recursive: true, force: true });
  renameSync(output, generated);
}

/** Holds proto/SOURCES.md to the versions in use: a licence table that names others is worse than none. */
function checkSources(): void {
  const table = readFileSync(join(root, 'proto/SOURCES.md'), 'utf8');
  const goMod = readFileSync(join(goModule, 'go.mod'), 'utf8');
  const npmNames = ['@bufbuild/buf', ...FROM_NPM.map(([from]) => /^(?:@[^/]+\/)?[^/]+/.exec(from)?.[0] ?? from)];
  const wanted: [string, string | undefined][] = [
    ...Object.keys(FROM_GO).map((name): [string, string | undefined] => [
      name,
      goMod
        .split('\n')
        .map((line) =>
          line
            .trim()
            .replace(/^require /, '')
            .split(' '),
        )
        .find(([it]) => it === name)?.[1],
    ]),
    ...npmNames.map((name): [string, string | undefined] => {
      const { version } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')) as {
        version: string;
      };
      return [name, version];
    }),
  ];
  for (const [name, version] of wanted) {
    if (version === undefined || !table.includes(`\`${name}\` | ${version} |`)) {
      throw new Error(`proto/SOURCES.md does not say that ${name} is used at ${version ?? 'a version of go.mod'}`);
    }
  }
}

const digest = inputsDigest();
const current = existsSync(stamp) && existsSync(generated) ? readFileSync(stamp, 'utf8') : '';
if (current !== digest) {
  checkSources();
  fillVendor();
  generate();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}
