import { join, resolve } from 'node:path';
import { WorkerError } from '../../errors/index.ts';
import { parseReference, type Repository } from '../../registry/index.ts';
import { DEFAULT_ORG, DEFAULT_REGISTRY, DEFAULT_REPO } from './design-services.ts';
import { imageIdPart, type ServicesFile } from './services-file.ts';

/** One service, ready to be built: paths absolute, names whole. */
export interface Service {
  readonly name: string;
  /** Where its image goes. */
  readonly image: Repository;
  /** Under which its archive is published. */
  readonly imageId: string;
  readonly contextDir: string;
  readonly dockerfile: string | undefined;
  readonly args: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  readonly platforms: readonly string[];
}

/** What the command line says instead of the file. */
export interface Names {
  readonly registry?: string | undefined;
  readonly org?: string | undefined;
  readonly repo?: string | undefined;
}

export interface Team {
  readonly registry: string;
  readonly org: string;
  readonly repo: string;
  readonly services: readonly Service[];
}

const MAX_IMAGE_ID = 64;

/** The services with the names of their images. Throws REFERENCE_INVALID. */
export function teamOf(file: ServicesFile, names: Names): Team {
  const registry = names.registry ?? file.registry ?? DEFAULT_REGISTRY;
  const org = names.org ?? file.org ?? DEFAULT_ORG;
  const repo = names.repo ?? file.repo ?? DEFAULT_REPO;
  const services = file.services.map((entry): Service => {
    const { tag, digest, ...image } = parseReference(entry.image ?? `${registry}/${org}/${repo}/${entry.name}`);
    if (tag !== undefined || digest !== undefined)
      throw new WorkerError('REFERENCE_INVALID', `service ${entry.name}: image ${entry.image ?? ''} names a tag`);
    const contextDir = resolve(file.source, entry.context);
    return {
      name: entry.name,
      image,
      imageId: `${imageIdPart(repo)}.${imageIdPart(entry.name)}`.slice(-MAX_IMAGE_ID),
      contextDir,
      dockerfile: entry.dockerfile === undefined ? undefined : join(contextDir, entry.dockerfile),
      args: entry.args,
      target: entry.target,
      platforms: entry.platforms,
    };
  });
  return { registry, org, repo, services };
}

/** The services asked for, in the file's order. Throws SERVICE_UNKNOWN; USAGE when none is asked for. */
export function chooseServices(
  { services }: Team,
  { all, names }: { readonly all: boolean; readonly names: readonly string[] },
): readonly Service[] {
  const known = services.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new WorkerError('SERVICE_UNKNOWN', `there is no service ${unknown}; there is ${known.join(', ')}`, {
      service: unknown,
      services: known,
    });
  if (all) return services;
  if (names.length === 0)
    throw new WorkerError('USAGE', `name services with --service (${known.join(', ')}) or take --all`);
  return services.filter(({ name }) => names.includes(name));
}
