import { readdir } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { stringify } from 'yaml';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { writeFileAtomically } from '../../files/index.ts';
import { DEFAULT_LABEL, parseServicesFile } from './services-file.ts';

/** Folders that hold nobody's service. */
const PASSED_OVER: ReadonlySet<string> = new Set(['node_modules', 'vendor', 'target', 'dist', 'build', '__pycache__']);
const DEPTH = 2;

export interface FoundService {
  readonly name: string;
  /** Relative to the folder that was searched. */
  readonly context: string;
}

/** Folders with a Dockerfile, two levels deep, in the order of their paths; names as image names have them. */
export async function findServices(directory: string): Promise<readonly FoundService[]> {
  const folders = await foldersWithDockerfile(resolve(directory), DEPTH);
  const taken = new Set<string>();
  return folders.map((folder) => {
    const context = relative(resolve(directory), folder) || '.';
    const names = [imageName(basename(folder)), imageName(context), imageName(`${context}-${taken.size + 1}`)];
    const name = names.find((each) => each !== '' && !taken.has(each)) ?? `service-${taken.size + 1}`;
    taken.add(name);
    return { name, context };
  });
}

/** Without a registry the usual one is meant. */
export interface InitialNames {
  readonly registry?: string;
  readonly org: string;
  readonly repo: string;
}

/** The text of a services file for them. */
export function servicesFileText(found: readonly FoundService[], names: InitialNames): string {
  const services = found.map(({ context, name }) => ({ name, ...(context !== name && { context }) }));
  return `# Services of this repository (docs/services.md). Further keys of a service: dockerfile, args, target, platforms, image.
${stringify({ ...names, source: '.', label: DEFAULT_LABEL, services })}`;
}

/** Writes it. Throws OUTPUT_EXISTS where there is one, PATH_NOT_FOUND when no folder has a Dockerfile. */
export async function writeServicesFile(
  path: string,
  directory: string,
  names: InitialNames,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly FoundService[]> {
  const found = await findServices(directory);
  if (found.length === 0)
    throw new WorkerError('PATH_NOT_FOUND', `no folder of ${resolve(directory)} has a Dockerfile`, { path: directory });
  const text = servicesFileText(found, names);
  parseServicesFile(text, path);
  try {
    await writeFileAtomically(path, text, { exclusive: true, signal });
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'EEXIST') throw new WorkerError('OUTPUT_EXISTS', `${path} is there already`, { path });
    throw toWorkerError(thrown, `write ${path}`);
  }
  return found;
}

async function foldersWithDockerfile(folder: string, depth: number): Promise<readonly string[]> {
  let entries: Awaited<ReturnType<typeof entriesOf>>;
  try {
    entries = await entriesOf(folder);
  } catch (thrown) {
    throw toWorkerError(thrown, `look into ${folder}`);
  }
  const has = entries.some((entry) => /^[Dd]ockerfile$/.test(entry.name) && !entry.isDirectory());
  if (depth === 0) return has ? [folder] : [];
  const below = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !PASSED_OVER.has(entry.name))
    .map(({ name }) => join(folder, name))
    .sort();
  const deeper: string[] = [];
  for (const each of below) deeper.push(...(await foldersWithDockerfile(each, depth - 1)));
  return has ? [folder, ...deeper] : deeper;
}

function entriesOf(folder: string) {
  return readdir(folder, { withFileTypes: true });
}

function imageName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63);
}
