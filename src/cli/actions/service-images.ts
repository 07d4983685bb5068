import { WorkerError } from '../../errors/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import {
  type Console,
  confirmDeletion,
  DEFAULT_REGISTRY,
  deleteImages,
  GithubPackages,
  type LoggedIn,
  listImages,
  type PlannedDeletion,
  type Service,
  type ServiceListing,
  sayListing,
  sayNotes,
  sayPreview,
  type Team,
  TOKEN_PERMISSIONS,
  texts,
} from '../../services/index.ts';
import { Secret } from '../../telemetry/index.ts';
import type { CommandContext } from '../context.ts';
import { GITHUB_API, packagesApiUrl } from '../packages-api.ts';
import { promptOf } from '../prompt.ts';
import { repositoryLock, storesOf } from '../repository-lock.ts';
import { trustOf } from '../services.ts';

/** What listing and deleting share. */
export interface ImagesRequest {
  readonly flags: {
    readonly all?: boolean;
    readonly version?: string;
    readonly dryRun?: boolean;
    readonly packagesApi?: string;
    readonly store?: string;
  };
  readonly json: boolean;
  readonly context: CommandContext;
  readonly team: Team;
  readonly chosen: readonly Service[];
  readonly console: Console;
  readonly client: RegistryClient;
  readonly login: LoggedIn;
}

/** `clipyard services --list-images`. */
export async function listServiceImages(request: ImagesRequest): Promise<void> {
  const { chosen, client, console, context, json, team } = request;
  const { signal, stdout } = context;
  await using packages = await packagesOf(request);
  console.say(texts.listing(team.registry));
  const listings: ServiceListing[] = [];
  for (const { image, name } of chosen) {
    const tags = await listImages(image, {
      client,
      packages,
      // The registry knows all tags; what fails here are times alone.
      onPackagesFailure: ({ message }) => {
        console.warning(`GitHub does not say when images of ${name} were pushed: ${message}`);
      },
      signal,
    });
    const listing = { service: name, tags };
    sayListing(console, listing);
    listings.push(listing);
  }
  sayNotes(console);
  if (json) stdout.write(`${JSON.stringify({ services: listings.map(listingDocument) })}\n`);
}

/** `clipyard services --delete-images`. */
export async function deleteServiceImages(request: ImagesRequest): Promise<void> {
  const { chosen, client, console, context, flags, json, team } = request;
  const { signal, stdout } = context;
  await using packages = await packagesOf(request);
  const plans: PlannedDeletion[] = [];
  for (const { image, name } of chosen) {
    // A token that may not even list is told before anybody is asked.
    const all = await listImages(image, { client, packages, signal });
    const tags = flags.version === undefined ? all : all.filter(({ tag }) => tag === flags.version);
    plans.push({ service: name, image, tags });
  }
  sayPreview(console, plans);
  const imageCount = plans.reduce((sum, { tags }) => sum + tags.length, 0);
  const end = (deleted: readonly object[]) => {
    if (json) stdout.write(`${JSON.stringify({ planned: plans, deleted })}\n`);
  };
  if (flags.dryRun === true || imageCount === 0) {
    console.info(imageCount === 0 ? 'There is nothing to delete' : 'Dry run: nothing was deleted');
    end([]);
    return;
  }
  requireToken(packages, request);
  await confirmDeletion({
    terminal: promptOf(context),
    imageCount,
    all: flags.all === true ? { name: `${team.org}/${team.repo}` } : undefined,
  });
  await using stack = new AsyncDisposableStack();
  const stores = storesOf(flags.store === undefined ? [] : [flags.store], context).map((store) => stack.use(store));
  const lock = repositoryLock(stores, context);
  const results = await deleteImages(plans, { client, packages, console, lock, signal });
  end(results.map(({ outcome, service, tag }) => ({ service, tag, outcome })));
  const refused = results.find(({ error }) => error !== undefined);
  if (refused?.error !== undefined) throw refused.error;
}

/** The registry whose images are packages, and their API: that of the team, else ghcr.io, where a service's own image may lie. */
function packagesPlace({ context, flags, team }: ImagesRequest): { readonly registry: string; readonly api: string } {
  const api = packagesApiUrl(team.registry, flags.packagesApi, context);
  return api === undefined ? { registry: DEFAULT_REGISTRY, api: GITHUB_API } : { registry: team.registry, api };
}

/** GitHub's packages API; undefined where no image is a package, or no token is there for it. */
async function packagesOf(request: ImagesRequest): Promise<GithubPackages | undefined> {
  const { chosen, client, context } = request;
  const { api, registry } = packagesPlace(request);
  if (!chosen.some(({ image }) => image.registry === registry)) return undefined;
  const token = await tokenOf(registry, request);
  if (token === undefined) return undefined;
  return new GithubPackages({ client, registry, api: { api, token, trust: trustOf(context), log: context.log } });
}

/** GitHub's registry is logged in to with a token for a password. */
async function tokenOf(
  registry: string,
  { context, login, team }: Pick<ImagesRequest, 'context' | 'login' | 'team'>,
): Promise<Secret | undefined> {
  const { env, signal } = context;
  if (env['GITHUB_TOKEN']) return new Secret(env['GITHUB_TOKEN']);
  if (registry === team.registry && login.token !== undefined) return login.token;
  const known = await login.credentials.get(registry, { signal });
  return known?.kind === 'basic' ? known.password : undefined;
}

function requireToken(packages: GithubPackages | undefined, request: ImagesRequest): void {
  const { registry } = packagesPlace(request);
  if (packages !== undefined || !request.chosen.some(({ image }) => image.registry === registry)) return;
  const permissions = TOKEN_PERMISSIONS.map(([permission]) => permission).join(', ');
  throw new WorkerError(
    'REGISTRY_UNAUTHENTICATED',
    `${registry} deletes through GitHub's packages API alone: set GITHUB_TOKEN to a token with ${permissions}`,
  );
}

function listingDocument({ service, tags }: ServiceListing): object {
  return {
    service,
    tags: tags.map(({ createdMs, digest, tag }) => ({
      tag,
      digest,
      created: createdMs === undefined ? null : new Date(createdMs).toISOString(),
    })),
  };
}
