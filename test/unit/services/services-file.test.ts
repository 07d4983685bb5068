import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findServices, servicesFileText, writeServicesFile } from '../../../src/services/file/init.ts';
import { readServicesFile } from '../../../src/services/file/read-services-file.ts';
import { chooseServices, teamOf } from '../../../src/services/file/service.ts';
import { parseServicesFile } from '../../../src/services/file/services-file.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();

describe('the services file', () => {
  test('R003-1: without a file there are the five services, named registry/org/repo/service', async () => {
    await using directory = await temporaryDirectory();
    const file = await readServicesFile({ path: undefined, workingDir: join(directory.path, 'cli'), repo: undefined });
    const team = teamOf(file, {});
    expect(team.services.map(({ image, name }) => [name, `${image.registry}/${image.repository}`])).toEqual(
      ['database', 'backend', 'frontend', 'engine', 'nginx'].map((name) => [name, `ghcr.io/milou-sh/milou/${name}`]),
    );
    expect(file.label).toBe('milou.context.hash');
  });

  test('R003-1: an unknown service is refused and the known ones are named', () => {
    const team = teamOf(parseServicesFile('services: [{name: backend}, {name: nginx}]', '/x/clipyard.yaml'), {});
    expect(() => chooseServices(team, { all: false, names: ['backend', 'fronted'] })).toThrow(
      'there is no service fronted; there is backend, nginx',
    );
  });

  test('R003-2: --service chooses, in the order of the file; without any service is named, nothing is chosen', () => {
    const team = teamOf(parseServicesFile('services: [{name: a}, {name: b}, {name: c}]', '/x/clipyard.yaml'), {});
    const names = (chosen: readonly { name: string }[]) => chosen.map(({ name }) => name);
    expect(names(chooseServices(team, { all: false, names: ['c', 'a'] }))).toEqual(['a', 'c']);
    expect(names(chooseServices(team, { all: true, names: [] }))).toEqual(['a', 'b', 'c']);
    expect(() => chooseServices(team, { all: false, names: [] })).toThrow(/--service \(a, b, c\) or take --all/);
  });

  test('R003-10: org and repo come from the command line, then the file, then milou-sh/milou', () => {
    const file = parseServicesFile('org: theirs\nservices: [{name: api}]', '/x/clipyard.yaml');
    const names = (given: object) => teamOf(file, given).services[0]?.image.repository;
    expect(names({})).toBe('theirs/milou/api');
    expect(names({ org: 'acme', repo: 'shop' })).toBe('acme/shop/api');
    expect(() => teamOf(file, { org: 'Acme' })).toThrow('lower case'); // D9
  });

  test('R003-43: services are built from a sibling folder, and paths are those of the file', async () => {
    await using directory = await temporaryDirectory();
    const beside = await readServicesFile({ path: undefined, workingDir: join(directory.path, 'cli'), repo: 'shop' });
    expect(beside.source).toBe(join(directory.path, 'shop'));
    const file = parseServicesFile(
      'source: ../shop\nservices: [{name: api, context: services/api, dockerfile: Dockerfile.prod}]',
      '/team/cli/clipyard.yaml',
    );
    expect(teamOf(file, {}).services[0]).toMatchObject({
      contextDir: '/team/shop/services/api',
      dockerfile: '/team/shop/services/api/Dockerfile.prod',
    });
  });

  test.for([
    ['services: [{name: py, args: {PYTHON_VERSION: 3.10}}]', /args\.PYTHON_VERSION: 3\.1 is no text: .*quotes/],
    ['services: [{name: a}, {name: a}]', /two services are called a/],
    ['services: [{name: a-b}, {name: a_b}]', /a-b and a_b are too alike/],
    ['services: [{name: Api}]', /services\[0\]\.name/],
    ['services: [{name: a, contxt: x}]', /services\[0\]: there is no "contxt" here/],
    ['services: [{name: a, context: null}]', /services\[0\]\.context: it takes a text, not nothing/],
    ['services: [{}]', /services\[0\]\.name: it is missing/],
    ['services: {a: {}}', /services: it takes a list, not names with values/],
    ['services:', /services: it names no service: write for example services: \[\{name: backend\}\]/],
    ['login: x\nservices: [{name: a}]', /login: it is one of github, docker, not the text "x"/],
    ['services: []', /services: it names no service/],
    ['servces: [{name: a}]', /clipyard\.yaml: /],
    ['services: [{name: a', /line 1: /],
    ['services: &a [*a]', /clipyard\.yaml: /],
    ['- x', /clipyard\.yaml: it takes names with values \(name: value\), not a list$/],
    ['', /clipyard\.yaml: the file is empty: write for example services: .* or let `clipyard services init` write it/],
    ['# nothing yet\n', /clipyard\.yaml: the file is empty: /],
    ['label: "bad label"\nservices: [{name: a}]', /label: it is no name of a label/],
  ] as const)('%s is refused with its place', ([text, message]) => {
    expect(() => parseServicesFile(text, '/x/clipyard.yaml')).toThrow(
      expect.objectContaining({ code: 'SERVICES_FILE_INVALID', message: expect.stringMatching(message) as string }),
    );
  });

  test('an image name of its own takes no tag', () => {
    const file = (image: string) => parseServicesFile(`services: [{name: a, image: "${image}"}]`, '/x/clipyard.yaml');
    expect(teamOf(file('quay.io/x/y'), {}).services[0]?.image).toEqual({ registry: 'quay.io', repository: 'x/y' });
    expect(() => teamOf(file('quay.io/x/y:1'), {})).toThrow('names a tag');
  });
});

test('D: the example of docs/services.md is one, with the five services', async () => {
  const path = join(import.meta.dirname, '../../../examples/services/clipyard.yaml');
  const team = teamOf(parseServicesFile(await readFile(path, 'utf8'), path), {});
  expect(team.services.map(({ name }) => name)).toEqual(['database', 'backend', 'frontend', 'engine', 'nginx']);
  expect(team.services[1]?.args).toEqual({ PYTHON_VERSION: '3.10' });
});

describe('services init', () => {
  test('finds folders with a Dockerfile, and writes a file that reads back', async () => {
    await using directory = await temporaryDirectory();
    for (const folder of ['Web App', 'services/api', 'services/web-app', 'node_modules/x', '.git/x', 'docs']) {
      await mkdir(join(directory.path, folder), { recursive: true });
      if (folder !== 'docs') await writeFile(join(directory.path, folder, 'Dockerfile'), 'FROM scratch');
    }
    const found = await findServices(directory.path);
    expect(found).toEqual([
      { name: 'web-app', context: 'Web App' },
      { name: 'api', context: 'services/api' },
      { name: 'services-web-app', context: 'services/web-app' },
    ]);
    const path = join(directory.path, 'clipyard.yaml');
    const names = { registry: 'ghcr.io', org: 'acme', repo: 'shop' };
    await writeServicesFile(path, directory.path, names, { signal });
    expect(await readFile(path, 'utf8')).toBe(servicesFileText(found, names));
    expect(teamOf(parseServicesFile(await readFile(path, 'utf8'), path), {}).services[0]).toMatchObject({
      contextDir: join(directory.path, 'Web App'),
      image: { registry: 'ghcr.io', repository: 'acme/shop/web-app' },
    });
    await expect(writeServicesFile(path, directory.path, names, { signal })).rejects.toMatchObject({
      code: 'OUTPUT_EXISTS',
    });
  });
});
