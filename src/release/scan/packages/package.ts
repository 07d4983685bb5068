/** A package that an image has, by the database or file that says so. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** As OSV names them: `Debian:12`, `Alpine:v3.20`, `PyPI`, `npm`. */
  readonly ecosystem: string;
  /** Where sources have another name: what advisories of distributions are about. */
  readonly source: string;
  /** https://github.com/package-url/purl-spec */
  readonly purl: string;
  /** File of the image that names it. */
  readonly path: string;
}

/** `ID` and `VERSION_ID` of os-release(5). */
export interface Distribution {
  readonly id: string;
  readonly version: string;
}

export function parseOsRelease(text: string): Distribution {
  const fields = new Map(
    text.split('\n').flatMap((line) => {
      const [, key, value] = /^([A-Z_]+)=(.*)$/.exec(line.trim()) ?? [];
      return key === undefined || value === undefined ? [] : [[key, value.replaceAll(/^["']|["']$/g, '')] as const];
    }),
  );
  return { id: fields.get('ID') ?? '', version: fields.get('VERSION_ID') ?? '' };
}

/** Stanzas of `Key: value`, blank lines between them; lines that go on an earlier one are left out. */
export function parseStanzas(text: string): readonly ReadonlyMap<string, string>[] {
  return text
    .split(/\n\s*\n/)
    .map(
      (stanza) =>
        new Map(
          stanza.split('\n').flatMap((line) => {
            const [, key, value] = /^([A-Za-z][A-Za-z0-9-]*):\s*(.*)$/.exec(line) ?? [];
            return key === undefined || value === undefined ? [] : [[key, value.trim()] as const];
          }),
        ),
    )
    .filter((fields) => fields.size > 0);
}
