import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  advisoryFindings,
  compareDebian,
  compareVersionsOf,
  cvss3BaseScore,
  dockerfileFindings,
  parseAdvisories,
  parseMatrixConfig,
  representatives,
  requireBelow,
  type ScannedImage,
  sarifDocument,
  scanMatrix,
  scanPackages,
  spdxDocument,
} from '../../../src/release/index.ts';

const { signal } = new AbortController();
const config = parseMatrixConfig(
  'registry: r.example/o\nimage: orb\nvariants: ["3.13", "3.10", "3.9"]\ndefault: "3.13"\n',
);

function imageOf(files: Readonly<Record<string, string>>, execution: object = {}): ScannedImage {
  return {
    config: { os: 'linux', architecture: 'amd64', config: execution, rootfs: { type: 'layers', diff_ids: [] } },
    files: Object.keys(files),
    read: (path) => Promise.resolve(files[path] ?? ''),
    mount: () => Promise.reject(new Error('nothing is mounted without programs')),
  };
}
const DEBIAN = {
  '/etc/os-release': 'NAME="Debian"\nID=debian\nVERSION_ID="12"\n',
  '/var/lib/dpkg/status':
    'Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9+deb12u3)\nVersion: 2.36-9+deb12u3\n\n' +
    'Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n',
  '/usr/lib/python3/site-packages/Jinja2-3.1.2.dist-info/METADATA': 'Name: Jinja2\nVersion: 3.1.2\n\nName: no\n',
  '/srv/node_modules/@scope/left/package.json': '{"name":"@scope/left","version":"1.0.0"}',
  '/usr/share/nodejs/undici/package.json': '{"name":"undici","version":"5.15.0"}',
  '/usr/share/nodejs/undici/lib/package.json': '{"name":"part","version":"1.0.0"}',
  '/srv/node_modules/torn/package.json': '{"name":',
};
const ADVISORY = {
  id: 'GHSA-1',
  summary: 'sandbox escape',
  severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H' }],
  affected: [
    {
      package: { ecosystem: 'PyPI', name: 'jinja2' },
      ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: '3.1.3' }] }],
    },
  ],
};
const advisories = parseAdvisories(JSON.stringify([ADVISORY]));

test('R001-16, R001-28: the Dockerfile is looked at once, however many variants there are', async () => {
  let lints = 0;
  const opened: string[] = [];
  const { findings, images } = await scanMatrix(config, {
    signal,
    advisories,
    scanners: [scanPackages],
    dockerfile: 'Dockerfile',
    lint: () => {
      lints += 1;
      return Promise.resolve([{ text: 'StageNameCasing: Stage name (line 1)', url: undefined }]);
    },
    open: (variant) => {
      opened.push(variant);
      return Promise.resolve(imageOf(DEBIAN));
    },
  });
  expect(lints).toBe(1);
  expect(opened).toEqual(['3.13', '3.9']);
  expect(images.map(({ depth, variant }) => [variant, depth])).toEqual([
    ['3.13', 'full'],
    ['3.9', 'basic'],
  ]);
  expect(findings.filter(({ rule }) => rule.startsWith('DL/'))).toHaveLength(1);
  expect(findings[0]).toMatchObject({ rule: 'GHSA-1', severity: 'critical' });
});

test('R001-17, D3: the default variant as a whole and the oldest, number by number, by its packages', () => {
  expect(representatives(config)).toEqual([
    { variant: '3.13', depth: 'full' },
    { variant: '3.9', depth: 'basic' },
  ]);
  expect(representatives({ variants: ['3.13'], defaultVariant: '3.13' })).toHaveLength(1);
});

describe('packages', () => {
  test('come from the databases of dpkg, Python and Node; damaged files are passed over', async () => {
    const { findings, packages } = await scanPackages(
      imageOf(DEBIAN),
      { variant: '3.9', depth: 'basic', advisories },
      { signal },
    );
    expect(packages.map(({ ecosystem, purl }) => [ecosystem, purl])).toEqual([
      ['Debian:12', 'pkg:deb/debian/libc6@2.36-9%2Bdeb12u3'],
      ['npm', 'pkg:npm/%40scope/left@1.0.0'],
      ['npm', 'pkg:npm/undici@5.15.0'],
      ['PyPI', 'pkg:pypi/jinja2@3.1.2'],
    ]);
    expect(findings.map(({ rule, variant }) => [rule, variant])).toEqual([['GHSA-1', '3.9']]);
  });

  test('come from the database of apk', async () => {
    const image = imageOf({
      '/etc/os-release': 'ID=alpine\nVERSION_ID=3.20.1\n',
      '/lib/apk/db/installed': 'C:Q1\nP:musl\nV:1.2.5-r0\no:musl\n\nP:busybox\nV:1.36.1-r29\no:busybox\n',
    });
    const { packages } = await scanPackages(image, { variant: '', depth: 'basic', advisories: [] }, { signal });
    expect(packages.map(({ ecosystem, name, version }) => `${ecosystem} ${name} ${version}`)).toEqual([
      'Alpine:v3.20 busybox 1.36.1-r29',
      'Alpine:v3.20 musl 1.2.5-r0',
    ]);
  });

  test('a full scan also says what is wrong with the configuration', async () => {
    const rulesOf = async (execution: object, depth: 'full' | 'basic') => {
      const { findings } = await scanPackages(
        imageOf({}, execution),
        { variant: '', depth, advisories: [] },
        { signal },
      );
      return findings.map(({ rule }) => rule);
    };
    expect(await rulesOf({ Env: ['PATH=/bin', 'DB_PASSWORD=x', 'TOKEN='] }, 'full')).toEqual([
      'IMG/root',
      'IMG/secret-in-env',
    ]);
    expect(await rulesOf({ User: 'app' }, 'full')).toEqual([]);
    expect(await rulesOf({ Env: ['DB_PASSWORD=x'] }, 'basic')).toEqual([]);
  });
});

describe('advisories', () => {
  const about = (version: string, affected: object, ecosystem = 'PyPI') => {
    const record = { id: 'X-1', affected: [{ package: { ecosystem, name: 'p' }, ...affected }] };
    const each = { name: 'p', version, ecosystem, source: 'p', purl: '', path: '/p' };
    return advisoryFindings([each], parseAdvisories(JSON.stringify(record))).length;
  };
  const range = (...events: readonly object[]) => ({ ranges: [{ type: 'ECOSYSTEM', events }] });

  test.for([
    ['1.0', range({ introduced: '0' }), 1],
    ['1.10', range({ introduced: '1.9' }), 1],
    ['1.8', range({ introduced: '1.9' }), 0],
    ['1.9', range({ introduced: '0' }, { fixed: '1.9' }), 0],
    ['1.9rc1', range({ introduced: '0' }, { fixed: '1.9' }), 1],
    ['2.0', range({ introduced: '0' }, { fixed: '1.9' }, { introduced: '2.0' }), 1],
    ['2.0', range({ introduced: '0' }, { last_affected: '2.0' }), 1],
    ['2.1', range({ introduced: '0' }, { last_affected: '2.0' }), 0],
    ['2.1', { versions: ['2.1'] }, 1],
    ['2.1', { ranges: [{ type: 'GIT', events: [{ introduced: '0' }] }] }, 0],
  ] as const)('version %s against %j', ([version, affected, count]) => {
    expect(about(version, affected)).toBe(count);
  });

  test('of a distribution are about its release and its source packages', () => {
    const record = {
      id: 'DSA-1',
      affected: [
        {
          package: { ecosystem: 'Debian:12', name: 'glibc' },
          ...range({ introduced: '0' }, { fixed: '2.36-9+deb12u4' }),
        },
      ],
    };
    const libc = {
      name: 'libc6',
      version: '2.36-9+deb12u3',
      ecosystem: 'Debian:12',
      source: 'glibc',
      purl: '',
      path: '/p',
    };
    const found = (each: typeof libc) => advisoryFindings([each], parseAdvisories(JSON.stringify(record))).length;
    expect(found(libc)).toBe(1);
    expect(found({ ...libc, version: '2.36-9+deb12u4' })).toBe(0);
    expect(found({ ...libc, ecosystem: 'Debian:13' })).toBe(0);
  });

  test('may be one record, a list, `vulns`, or a record a line; anything else is a coded error', () => {
    const one = JSON.stringify({ id: 'A' });
    for (const text of [one, `[${one}]`, `{"vulns":[${one}]}`, `${one}\n\n`])
      expect(parseAdvisories(text)).toHaveLength(1);
    expect(parseAdvisories(`${one}\n${one}\n`)).toHaveLength(2);
    for (const text of ['<html>', '{"id":1}', '[{}]', `${one}\nno`])
      expect(() => parseAdvisories(text)).toThrow(expect.objectContaining({ code: 'ADVISORIES_INVALID' }));
  });

  test('a withdrawn one counts no more; words of the database go before the vector', () => {
    const finding = (more: object) =>
      advisoryFindings(
        [{ name: 'jinja2', version: '1', ecosystem: 'PyPI', source: 'jinja2', purl: '', path: '/p' }],
        parseAdvisories(JSON.stringify({ ...ADVISORY, ...more })),
      )[0]?.severity;
    expect(finding({ withdrawn: '2026-01-01T00:00:00Z' })).toBeUndefined();
    expect(finding({ database_specific: { severity: 'MODERATE' } })).toBe('medium');
    expect(finding({ severity: [] })).toBe('medium');
    expect(finding({})).toBe('critical');
  });

  // Scores of the examples in "CVSS v3.1 Examples" (FIRST).
  test.for([
    ['CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H', 9.8],
    ['CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N', 6.1],
    ['CVSS:3.1/AV:L/AC:H/PR:H/UI:N/S:U/C:L/I:N/A:N', 1.9],
    ['CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N', 0],
    ['CVSS:4.0/AV:N', undefined],
  ] as const)('%s has score %d', ([vector, score]) => {
    expect(cvss3BaseScore(vector)).toBe(score);
  });
});

// deb-version(7) and Debian policy 5.6.12.
test.for([
  ['1.0~rc1', '1.0', -1],
  ['1.0', '1.0-1', -1],
  ['1:0.9', '2.0', 1],
  ['1.10', '1.9', 1],
  ['2.36-9+deb12u3', '2.36-9+deb12u10', -1],
  ['1.0a', '1.0+', -1],
  ['1.0', '1.0', 0],
] as const)('Debian orders %s and %s as %d', ([one, other, order]) => {
  expect(Math.sign(compareDebian(one, other))).toBe(order);
  expect(Math.sign(compareDebian(other, one)) + order).toBe(0);
});

test('apk puts what comes before a release below it', () => {
  expect(compareVersionsOf('Alpine:v3.20', '1.2_rc1-r0', '1.2-r0')).toBeLessThan(0);
});

describe('reports', () => {
  const findings = dockerfileFindings(
    [{ text: 'SecretsUsedInArgOrEnv: Do not use ARG (ARG "A") (line 5)', url: 'https://rule.example' }],
    'docker/Dockerfile',
  );

  test('SARIF 2.1.0 has a rule for every result, and a line where there is one', () => {
    expect(findings[0]).toMatchObject({ rule: 'DL/SecretsUsedInArgOrEnv', severity: 'high', line: 5 });
    expect(sarifDocument(findings)).toMatchObject({
      version: '2.1.0',
      runs: [
        {
          tool: { driver: { name: 'clipyard', rules: [{ id: 'DL/SecretsUsedInArgOrEnv' }] } },
          results: [
            {
              ruleId: 'DL/SecretsUsedInArgOrEnv',
              ruleIndex: 0,
              level: 'error',
              locations: [
                { physicalLocation: { artifactLocation: { uri: 'docker/Dockerfile' }, region: { startLine: 5 } } },
              ],
            },
          ],
        },
      ],
    });
  });

  test('the gate stops at its severity and above', () => {
    expect(() => {
      requireBelow(findings, 'critical');
    }).not.toThrow();
    for (const severity of ['high', 'medium', 'low'] as const)
      expect(() => {
        requireBelow(findings, severity);
      }).toThrow(expect.objectContaining({ code: 'SCAN_FINDINGS' }));
  });

  test('D37: the SBOM of the same image is the same document', async () => {
    const { packages } = await scanPackages(imageOf(DEBIAN), { variant: '', depth: 'full', advisories }, { signal });
    const subject = { name: 'r.example/orb:1', digest: digestOf(Buffer.from('m')), created: '2026-01-01T00:00:00Z' };
    const document = spdxDocument(subject, packages);
    expect(spdxDocument(subject, packages)).toEqual(document);
    expect(document).toMatchObject({ spdxVersion: 'SPDX-2.3', packages: { length: 5 }, relationships: { length: 5 } });
  });
});
