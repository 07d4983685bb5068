import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  findProgram,
  type ImageScan,
  imageScanner,
  parseAdvisories,
  type ScannedImage,
  type ScanPrograms,
} from '../../../src/release/index.ts';
import { runProgram } from '../../../src/release/scan/programs/run-program.ts';
import { fakeProgram } from '../../support/release/fake-program.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
/** The README beside them says what wrote them. */
const golden = join(import.meta.dirname, '../../golden/scan');
const SYFT = join(golden, 'syft-1.44.0.json');
const TRIVY = join(golden, 'trivy-0.65.0.json');

let scratch: TemporaryDirectory;
beforeAll(async () => {
  scratch = await temporaryDirectory('programs');
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

const FILES: Readonly<Record<string, string>> = {
  '/etc/os-release': 'ID=debian\nVERSION_ID="12"\n',
  '/var/lib/dpkg/status':
    'Package: libc6\nStatus: install ok installed\nSource: glibc\nVersion: 2.36-9+deb12u3\n\n' +
    'Package: login\nStatus: install ok installed\nSource: shadow (1:4.13+dfsg1-1)\nVersion: 1:4.13+dfsg1-1+b1\n\n' +
    'Package: ours\nStatus: install ok installed\nVersion: 1\n',
  '/usr/lib/python3/dist-packages/Jinja2-3.1.2.dist-info/METADATA': 'Name: Jinja2\nVersion: 3.1.2\n',
};

function imageOf(mount: ScannedImage['mount']): ScannedImage {
  return {
    config: { os: 'linux', architecture: 'amd64', config: { User: 'app' }, rootfs: { type: 'layers', diff_ids: [] } },
    files: Object.keys(FILES),
    read: (path) => Promise.resolve(FILES[path] ?? ''),
    mount,
  };
}
/** How often an image's tree was let go. */
let released = 0;
const mountable = imageOf(() =>
  Promise.resolve({
    path: '/tree',
    [Symbol.asyncDispose]: () => {
      released += 1;
      return Promise.resolve();
    },
  }),
);
const unmountable = imageOf(() => Promise.reject(new Error('no /dev/fuse')));

async function scanWith(
  scripts: { readonly syft?: string; readonly trivy?: string },
  { choice = 'always', image = mountable, advisories = '[]' } = {},
): Promise<ImageScan> {
  await using folder = await temporaryDirectory('path');
  const programs: ScanPrograms = Object.fromEntries(
    await Promise.all(
      Object.entries(scripts).map(async ([name, script]) => {
        await fakeProgram(folder.path, name, script);
        return [name, await findProgram(name, choice, { PATH: `${folder.path}:/usr/bin:/bin` })] as const;
      }),
    ),
  );
  const request = { variant: '3.13', depth: 'full', advisories: parseAdvisories(advisories) } as const;
  return await imageScanner(programs)(image, request, { signal });
}

describe('a program is found', () => {
  test('as it was chosen', async () => {
    const path = await fakeProgram(scratch.path, 'syft', 'exit 0');
    const here = { PATH: `:/nowhere:${scratch.path}` };
    expect(await findProgram('syft', 'auto', here)).toMatchObject({ path, isRequired: false });
    expect(await findProgram('syft', 'always', here)).toMatchObject({ path, isRequired: true });
    expect(await findProgram('syft', path, {})).toMatchObject({ path, isRequired: true });
    expect(await findProgram('syft', 'never', here)).toBeUndefined();
    expect(await findProgram('syft', 'auto', { PATH: '/nowhere' })).toBeUndefined();
    expect(await findProgram('syft', 'auto', {})).toBeUndefined();
  });

  test.for([
    ['always', 'SCAN_TOOL_MISSING'],
    ['/nowhere/syft', 'SCAN_TOOL_MISSING'],
    ['sometimes', 'USAGE'],
    ['', 'USAGE'],
  ] as const)('choice %j without it is %s', async ([choice, code]) => {
    await expect(findProgram('syft', choice, { PATH: '/nowhere' })).rejects.toMatchObject({ code });
  });
});

describe('syft', () => {
  test('adds what our readers do not know; what both saw is there once, by our file', async () => {
    const { findings, packages, readers } = await scanWith(
      { syft: `cat ${SYFT}` },
      {
        advisories: JSON.stringify([
          {
            id: 'GHSA-go',
            affected: [
              {
                package: { ecosystem: 'Go', name: 'github.com/spf13/cobra' },
                ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '2.0.0' }] }],
              },
            ],
          },
        ]),
      },
    );
    expect(readers).toEqual(['clipyard', 'syft-1.44.0']);
    const named = packages.map(({ ecosystem, name, path, version }) => `${ecosystem} ${name} ${version} ${path}`);
    expect(new Set(named).size).toBe(named.length);
    expect(named.filter((line) => line.startsWith('PyPI jinja2 3.1.2'))).toEqual([
      'PyPI jinja2 3.1.2 /usr/lib/python3/dist-packages/Jinja2-3.1.2.dist-info/METADATA',
    ]);
    expect(named).toContain('Debian:12 ours 1 /var/lib/dpkg/status');
    expect(named.some((line) => line.startsWith('Go github.com/spf13/cobra 1.'))).toBe(true);
    expect(findings.map(({ rule }) => rule)).toContain('GHSA-go');
  });

  test('gives the SBOM, completed by what it did not see; the same image gives the same bytes', async () => {
    const asked = 'scan dir:/tree --base-path /tree --override-default-catalogers image --source-name image';
    const { sbomOf } = await scanWith({ syft: `case "$*" in "${asked} "*) cat ${SYFT} ;; esac` });
    const later = await scanWith({
      syft: `sed 's/"created": *"[^"]*"/"created":"2031-01-01T00:00:00Z"/; s/"documentNamespace": *"[^"]*"/"documentNamespace":"urn:other"/' ${SYFT}`,
    });
    const digest = digestOf(Buffer.from('manifest'));
    const subject = { name: 'r.example/orb:1', digest, created: '2026-01-01T00:00:00Z' };
    const document = sbomOf(subject) as {
      readonly packages: readonly { readonly SPDXID: string; readonly name: string; readonly versionInfo?: string }[];
      readonly relationships: readonly { readonly relatedSpdxElement: string; readonly relationshipType: string }[];
    };
    expect(JSON.stringify(later.sbomOf(subject))).toBe(JSON.stringify(document));
    expect(document).toMatchObject({
      spdxVersion: 'SPDX-2.3',
      name: subject.name,
      creationInfo: {
        created: subject.created,
        creators: ['Organization: Anchore, Inc', 'Tool: syft-1.44.0', 'Tool: clipyard'],
      },
    });
    const described = document.relationships.find(({ relationshipType }) => relationshipType === 'DESCRIBES');
    const root = document.packages.find(({ SPDXID }) => SPDXID === described?.relatedSpdxElement);
    expect(root).toMatchObject({ name: subject.name, versionInfo: digest, primaryPackagePurpose: 'CONTAINER' });
    expect(document.packages.filter(({ name }) => name === 'ours')).toHaveLength(1);
    expect(document.packages.filter(({ name }) => /^jinja2$/i.test(name))).toHaveLength(1);
    const ids = document.packages.map(({ SPDXID }) => SPDXID);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('gets what is its own of the environment, and no secret of ours', async () => {
    const path = await fakeProgram(scratch.path, 'told', `echo "$@"; env; exec cat ${SYFT}`);
    const env = {
      PATH: '/usr/bin:/bin',
      CLIPYARD_TOKEN: 'secret',
      AWS_SECRET_ACCESS_KEY: 'secret',
      SYFT_LOG_QUIET: '1',
    };
    const bounds = { timeoutMs: 30_000, maxBytes: 1 << 20 };
    const output = await runProgram({ path, isRequired: true, env }, ['scan', 'dir:/tree'], { bounds, signal });
    expect(output).toContain('scan dir:/tree\n');
    expect(output).toContain('SYFT_LOG_QUIET=1\n');
    expect(output).not.toContain('secret');
  });
});

describe('trivy', () => {
  test('gives findings of the image, each once, with the file that has the package; a secret is not repeated', async () => {
    const before = released;
    const advisories = JSON.stringify({
      id: 'GHSA-h5c8-rqwp-cp95',
      aliases: ['CVE-2024-22195'],
      affected: [{ package: { ecosystem: 'PyPI', name: 'jinja2' }, versions: ['3.1.2'] }],
    });
    const { findings, readers } = await scanWith(
      // It is asked for vulnerabilities alone, and its gate and output are ours.
      {
        trivy: `[ "$TRIVY_SCANNERS: $*" = "vuln: rootfs --format json --exit-code 0 --output  --offline-scan /tree" ] && cat ${TRIVY}`,
      },
      { advisories },
    );
    expect(readers).toEqual(['clipyard', 'trivy']);
    expect(released).toBe(before + 1);
    expect(findings).toMatchObject([
      {
        rule: 'GHSA-h5c8-rqwp-cp95',
        severity: 'medium',
        file: expect.stringContaining('Jinja2-3.1.2.dist-info') as string,
      },
      {
        rule: 'CVE-2023-4911',
        severity: 'high',
        message: expect.stringMatching(/^libc6 2\.36-9\+deb12u3: .*\(fixed in 2\.36-9\+deb12u3\.1\)$/) as string,
        file: 'var/lib/dpkg/status',
        url: 'https://avd.aquasec.com/nvd/cve-2023-4911',
        variant: '3.13',
      },
      {
        rule: 'CVE-2023-29383',
        severity: 'low',
        message: expect.stringMatching(/^login 1:4\.13\+dfsg1-1\+b1: .*\(no fixed version is known\)$/) as string,
        file: 'var/lib/dpkg/status',
      },
      { rule: 'CVE-0000-00001', severity: 'critical', file: 'app/node_modules/picomatch/package.json' },
      {
        rule: 'GHSA-h75v-3vvj-5mfj',
        severity: 'medium', // unknown to trivy
        message: expect.stringMatching(/^Jinja2 3\.1\.2: .*\(no fixed version is known\)$/) as string,
        file: 'usr/local/lib/python3.11/dist-packages/Jinja2-3.1.2.dist-info/METADATA',
        url: 'https://github.com/advisories/GHSA-h75v-3vvj-5mfj',
        package: 'pkg:pypi/jinja2@3.1.2',
      },
      { rule: 'trivy/DS001', severity: 'medium', file: 'app/Dockerfile' },
      { rule: 'trivy/DS002', severity: 'high', file: 'app/Dockerfile' },
      { rule: 'trivy/DS021', severity: 'high', message: "'-y' flag is missed: 'apt-get install curl'" },
      { rule: 'trivy/DS026', severity: 'low' },
      { rule: 'trivy/DS029', severity: 'high' },
      { rule: 'trivy/aws-access-key-id', severity: 'critical', file: 'app/key.py', line: 3 },
    ]);
    // trivy has it in the line `Match`, under asterisks.
    expect(JSON.stringify(findings)).not.toMatch(/AKIA|\*\*\*/);
  });

  test('is believed no address that is none, and no fault that passed', async () => {
    const changed = `sed 's#https://github.com/advisories/GHSA#javascript:alert(1)//GHSA#; s#"Status": "FAIL"#"Status": "PASS"#'`;
    const { findings } = await scanWith({ trivy: `${changed} ${TRIVY}` });
    expect(findings.find(({ rule }) => rule === 'GHSA-h75v-3vvj-5mfj')?.url).toBeUndefined();
    expect(findings.map(({ rule }) => rule).filter((rule) => rule.startsWith('trivy/DS'))).toEqual([]);
  });
});

describe('an image that cannot be mounted', () => {
  test('is looked at by our own readers, and it is said why', async () => {
    const { note, packages, readers } = await scanWith({ syft: 'exit 1' }, { choice: 'auto', image: unmountable });
    expect(readers).toEqual(['clipyard']);
    expect(note).toBe('the image cannot be mounted for syft and trivy: no /dev/fuse');
    expect(packages).toHaveLength(4);
  });

  test('is an error where a program must look', async () => {
    await expect(scanWith({ syft: 'exit 1' }, { image: unmountable })).rejects.toThrow('no /dev/fuse');
  });
});

describe('a program that misbehaves is SCAN_TOOL_FAILED, and the image is let go', () => {
  test.for([
    ['syft', 'says why', 'echo first >&2; echo "database is locked" >&2; exit 3', /exit code 3: database is locked$/],
    ['syft', 'says nothing', 'kill -9 $$', /ended with SIGKILL$/],
    ['syft', 'writes nothing', 'exit 0', /wrote something that is no JSON$/],
    ['syft', 'writes another format', 'echo \'{"bomFormat":"CycloneDX"}\'', /wrote no SPDX 2\.3: spdxVersion/],
    [
      'syft',
      'writes packages that are none',
      'echo \'{"spdxVersion":"SPDX-2.3","SPDXID":"x","creationInfo":{"creators":[]},"packages":[1]}\'',
      /packages\.0/,
    ],
    [
      'trivy',
      'fails',
      'printf "FATAL\\tsome error: \\033[31mno such host\\n" >&2; exit 1',
      /FATAL some error: {2}\[31mno such host$/,
    ],
    [
      'trivy',
      'has no database',
      'printf "FATAL\\tinit error: DB error: 2 errors occurred:\\n\\t* one host\\n\\t* another host\\n\\n\\n" >&2; exit 1',
      /DB error: 2 errors occurred: \* one host \* another host; trivy needs its database .* TRIVY_SKIP_DB_UPDATE=true$/,
    ],
    ['trivy', 'writes half a report', 'echo \'{"SchemaVersion":2,"Results":[{"Tar\'', /no JSON$/],
    ['trivy', 'writes another version', 'echo \'{"SchemaVersion":3}\'', /wrote no report: SchemaVersion/],
  ] as const)('%s %s', async ([name, , script, message]) => {
    const before = released;
    const run = scanWith({ [name]: script }, { choice: 'auto' });
    await expect(run).rejects.toMatchObject({
      code: 'SCAN_TOOL_FAILED',
      message: expect.stringMatching(message) as string,
    });
    expect(released).toBe(before + 1);
  });

  const run = async (
    script: string,
    bounds: { readonly timeoutMs?: number; readonly maxBytes?: number },
    stop = signal,
  ) => {
    const path = await fakeProgram(scratch.path, `bad-${String(Math.random()).slice(2)}`, script);
    return await runProgram({ path, isRequired: true, env: { PATH: '/usr/bin:/bin' } }, [scratch.path], {
      bounds: { timeoutMs: 60_000, maxBytes: 1 << 20, ...bounds },
      signal: stop,
    });
  };

  test('when it writes without end', async () => {
    await expect(run('while :; do echo yyyyyyyyyyyyyyyy; done', { maxBytes: 1000 })).rejects.toMatchObject({
      code: 'SCAN_TOOL_FAILED',
      message: expect.stringContaining('writes more than 1000 bytes') as string,
    });
  });

  test('when it hangs', async () => {
    await expect(run('trap "" TERM; sleep 600', { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'SCAN_TOOL_FAILED',
      message: expect.stringContaining('took longer than 0.3 s') as string,
    });
  });

  test('when it cannot be run', async () => {
    const env = { PATH: '' };
    const bounds = { timeoutMs: 1000, maxBytes: 1000 };
    await expect(
      runProgram({ path: scratch.path, isRequired: true, env }, [], { bounds, signal }),
    ).rejects.toMatchObject({ code: 'SCAN_TOOL_FAILED' });
  });

  test('what stops the command ends it and all it started, with the reason of the stop', async () => {
    const stop = new AbortController();
    // The inner one holds the output open; it lives on where only the outer one is ended.
    const running = run('trap "" TERM; sleep 600 & echo $! > "$1/new"; mv "$1/new" "$1/pid"; wait', {}, stop.signal);
    running.catch(() => undefined);
    const pid = await vi.waitFor(() => readFile(join(scratch.path, 'pid'), 'utf8'), { timeout: 20_000 });
    stop.abort(new Error('stopped by a person'));
    await expect(running).rejects.toThrow('stopped by a person');
    await vi.waitFor(async () => {
      expect(await isRunning(Number(pid))).toBe(false);
    });
  });
});

/** A zombie that nobody has waited for is none that runs. */
async function isRunning(pid: number): Promise<boolean> {
  return await readFile(`/proc/${pid}/stat`, 'utf8').then(
    (stat) => !/\) Z /.test(stat),
    () => false,
  );
}
