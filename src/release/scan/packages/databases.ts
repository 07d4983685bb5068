import { type Distribution, type Package, parseStanzas } from './package.ts';
import { normalPython } from './purl.ts';

/** What a file of an image says of packages. Damaged files give what can be read of them: a scan is no verifier. */
export type PackageReader = (text: string, path: string, distribution: Distribution) => readonly Package[];

interface Database {
  readonly matches: RegExp;
  readonly read: PackageReader;
}

/** Files of an image that name packages; paths are absolute. */
export const DATABASES: readonly Database[] = [
  { matches: /^\/var\/lib\/dpkg\/status$/, read: readDpkg },
  { matches: /^\/var\/lib\/dpkg\/status\.d\/[^/.]+$/, read: readDpkg }, // images without a package manager
  { matches: /^\/lib\/apk\/db\/installed$/, read: readApk },
  { matches: /\/(?:site|dist)-packages\/[^/]+\.dist-info\/METADATA$/, read: readPython },
  { matches: /\/(?:site|dist)-packages\/[^/]+\.egg-info(?:\/PKG-INFO)?$/, read: readPython },
  { matches: /\/node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/, read: readNode },
  { matches: /^\/usr\/share\/nodejs\/(?:@[^/]+\/)?[^/]+\/package\.json$/, read: readNode }, // Debian's folder for them
];

/** dpkg-query(1): packages that are unpacked or configured. */
function readDpkg(text: string, path: string, { id, version }: Distribution): readonly Package[] {
  const os = id === '' ? 'debian' : id;
  const ecosystem = `${os === 'ubuntu' ? 'Ubuntu' : 'Debian'}:${version}`;
  return parseStanzas(text).flatMap((fields) => {
    const [name, own, status] = [fields.get('Package'), fields.get('Version'), fields.get('Status')];
    if (name === undefined || own === undefined || (status !== undefined && !/ installed$/.test(status))) return [];
    // `Source: glibc (2.36-9)`: its version is that of the package unless it says another one.
    const [, source = name, sourceVersion = own] = /^(\S+)(?: \((.+)\))?$/.exec(fields.get('Source') ?? '') ?? [];
    const purl = `pkg:deb/${os}/${encodeURIComponent(name)}@${encodeURIComponent(own)}`;
    return [{ name, version: sourceVersion, ecosystem, source, purl, path }];
  });
}

/** apk's own database: `P:` name, `V:` version, `o:` origin. */
function readApk(text: string, path: string, { version }: Distribution): readonly Package[] {
  const ecosystem = `Alpine:v${version.split('.').slice(0, 2).join('.')}`;
  return parseStanzas(text).flatMap((fields) => {
    const [name, own] = [fields.get('P'), fields.get('V')];
    if (name === undefined || own === undefined) return [];
    const purl = `pkg:apk/alpine/${encodeURIComponent(name)}@${encodeURIComponent(own)}`;
    return [{ name, version: own, ecosystem, source: fields.get('o') ?? name, purl, path }];
  });
}

/** The head of "Core metadata specifications" (packaging.python.org); the description behind it is not read. */
function readPython(text: string, path: string): readonly Package[] {
  const [fields] = parseStanzas(text);
  const [name, version] = [fields?.get('Name'), fields?.get('Version')];
  if (name === undefined || version === undefined) return [];
  const normal = normalPython(name);
  return [
    {
      name: normal,
      version,
      ecosystem: 'PyPI',
      source: normal,
      purl: `pkg:pypi/${normal}@${encodeURIComponent(version)}`,
      path,
    },
  ];
}

function readNode(text: string, path: string): readonly Package[] {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document !== 'object' || document === null) return [];
    const { name, version } = document as { readonly name?: unknown; readonly version?: unknown };
    if (typeof name !== 'string' || typeof version !== 'string') return [];
    const purl = `pkg:npm/${name.replace('@', '%40')}@${encodeURIComponent(version)}`;
    return [{ name, version, ecosystem: 'npm', source: name, purl, path }];
  } catch {
    return [];
  }
}
