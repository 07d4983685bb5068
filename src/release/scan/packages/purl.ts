/** https://github.com/package-url/purl-spec: `type/namespace/name@version?qualifiers`, decoded. */
export interface Purl {
  readonly type: string;
  /** With its `/`; empty where there is none. */
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly qualifiers: ReadonlyMap<string, string>;
}

/** undefined for what is no purl, or has no version. */
export function parsePurl(text: string): Purl | undefined {
  const [, type, path, version, qualifiers = ''] =
    /^pkg:([A-Za-z0-9.+-]+)\/([^@?#]+)@([^?#]+)(?:\?([^#]*))?(?:#.*)?$/.exec(text) ?? [];
  if (type === undefined || path === undefined || version === undefined) return undefined;
  const parts = path.split('/').filter((part) => part !== '');
  try {
    return {
      type: type.toLowerCase(),
      namespace: parts.slice(0, -1).map(decodeURIComponent).join('/'),
      name: decodeURIComponent(parts.at(-1) ?? ''),
      version: decodeURIComponent(version),
      qualifiers: new Map(
        qualifiers.split('&').map((pair) => {
          const [key = '', value = ''] = pair.split(/=(.*)/s);
          return [key, decodeURIComponent(value)];
        }),
      ),
    };
  } catch {
    return undefined; // a `%` that encodes nothing
  }
}

/** The same for two purls of one package, whatever their qualifiers and however they are encoded; `text` itself for what is no purl. */
export function purlKey(text: string): string {
  const purl = parsePurl(text);
  if (purl === undefined) return text;
  const { name, namespace, qualifiers, type } = purl;
  // Of distributions' versions trivy has the epoch apart, syft and ours in the version.
  const epoch = qualifiers.get('epoch');
  const version = epoch === undefined ? purl.version : `${epoch}:${purl.version}`;
  // Packages of Python have one name in several spellings (PEP 503); distributions have theirs in the ecosystem.
  if (type === 'pypi') return `pypi/${normalPython(name)}@${version}`;
  return `${type}/${namespace}/${name}@${version}`;
}

/** PEP 503. */
export function normalPython(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}
