// The architecture is this list, lowest first: a folder may import only folders on lower lines, and only their index.ts.
const layers = [
  ['errors', 'digest'],
  ['config', 'telemetry', 'files', 'tls', 'rpc'],
  ['native'],
  ['oci'],
  ['archive'],
  ['registry', 'objects', 'queue'],
  ['buildkit', 'indexer', 'portable', 'mount', 'trace'],
  ['jobs'],
  ['release'],
  ['services'],
  ['worker'],
  ['service'],
  ['bench'],
  ['cli'],
  ['bin'],
];
const upward = layers.slice(0, -1).map((names, at) => ({
  name: `no-upward-from-${names.join('-')}`,
  severity: 'error',
  from: { path: `^src/(${names.join('|')})/` },
  to: {
    path: `^src/(${layers
      .slice(at + 1)
      .flat()
      .join('|')})/`,
  },
}));
const folders = layers.flat();
const siblings = layers
  .filter((names) => names.length > 1)
  .flatMap((names) =>
    names.map((name) => ({
      name: `no-sideways-from-${name}`,
      severity: 'error',
      from: { path: `^src/${name}/` },
      // digest may use errors; config and telemetry stand apart; the rest of a line does not know its neighbours.
      to: { path: `^src/(${names.filter((other) => other !== name && other !== 'errors').join('|') || 'none'})/` },
    })),
  );
/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    ...upward,
    ...siblings,
    {
      name: 'only-through-index',
      severity: 'error',
      comment: "another folder's public face is its index.ts",
      from: { path: '^src/([^/]+)/' },
      to: { path: `^src/(${folders.join('|')})/`, pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
    },
    {
      name: 'generated-code-stays-in-adapters',
      severity: 'error',
      from: { pathNot: '^src/(buildkit|mount|service|gen)/' },
      to: { path: '^src/gen/' },
    },
    { name: 'no-unresolvable', severity: 'error', from: { pathNot: '^src/gen/' }, to: { couldNotResolve: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
