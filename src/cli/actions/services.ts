import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseWorkspaceId } from '../../archive/index.ts';
import { connectBuildkit } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { buildImage } from '../../jobs/index.ts';
import { openStore } from '../../objects/index.ts';
import {
  type CredentialSource,
  createRegistryClient,
  loadCredentials,
  type RegistryClient,
} from '../../registry/index.ts';
import { createRepositoryLock, type LatestMode } from '../../release/index.ts';
import {
  buildService,
  type Console,
  chooseServices,
  createConsole,
  DEFAULT_ORG,
  DEFAULT_REGISTRY,
  DEFAULT_REPO,
  failureOf,
  type Level,
  LiveView,
  type LoggedIn,
  logIn,
  type RunBuild,
  readServicesFile,
  runServices,
  type Service,
  type ServicesFile,
  sayHeader,
  saySummary,
  showsPictures,
  type Team,
  teamOf,
  waysOut,
  writeServicesFile,
} from '../../services/index.ts';
import type { CommandContext } from '../context.ts';
import { loginsOf } from '../logins.ts';
import { packagesApiUrl } from '../packages-api.ts';
import { parseCompression, parseCount } from '../parse-options.ts';
import { promptOf } from '../prompt.ts';
import { objectStore, packCacheSettings, trustOf } from '../services.ts';
import { checkToken } from '../token-check.ts';
import { deleteServiceImages, listServiceImages } from './service-images.ts';

export interface ServicesFlags {
  readonly service: readonly string[];
  readonly all?: boolean;
  readonly version?: string;
  readonly push?: boolean;
  readonly force?: boolean;
  readonly diffCheck: boolean;
  readonly listImages?: boolean;
  readonly deleteImages?: boolean;
  readonly org?: string;
  readonly repo?: string;
  readonly registry?: string;
  readonly dryRun?: boolean;
  readonly debug?: boolean;
  readonly explain?: boolean;
  readonly file?: string;
  readonly latest: LatestMode;
  readonly login?: 'github' | 'docker';
  readonly packagesApi?: string;
  readonly jobs: string;
  readonly workspace?: string;
  readonly store?: string;
  readonly buildkit?: string;
  readonly plainHttp?: boolean;
  readonly plain?: boolean;
}

/** distribution-spec 1.1, "Pulling manifests". */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const MAX_JOBS = 16;

/** What every part of the command shares. */
interface Session {
  readonly flags: ServicesFlags;
  readonly json: boolean;
  readonly context: CommandContext;
  readonly file: ServicesFile;
  readonly team: Team;
  readonly chosen: readonly Service[];
  readonly console: Console;
  readonly output: Output;
}

interface Output {
  readonly debug: boolean;
  readonly pictures: boolean;
  readonly write: (line: string, level: Level) => void;
  readonly live: LiveView | undefined;
}

/** `clipyard services`. */
export async function services(flags: ServicesFlags, json: boolean, context: CommandContext): Promise<void> {
  if (flags.version !== undefined && !TAG.test(flags.version))
    throw new WorkerError(
      'USAGE',
      `--version ${flags.version} cannot be a tag: letters, digits, _ . - and at most 128`,
    );
  const { env, settings } = context;
  const file = await readServicesFile({ path: flags.file, workingDir: process.cwd(), repo: flags.repo });
  const team = teamOf(file, {
    org: flags.org,
    repo: flags.repo,
    registry: flags.registry ?? file.registry ?? (env['GITHUB_ACTIONS'] ? undefined : settings.registry?.split('/')[0]),
  });
  const chosen = chooseServices(team, {
    all: flags.all === true || (flags.listImages === true && flags.service.length === 0),
    names: flags.service,
  });
  const output = outputOf(flags, json, context);
  using _live = output.live;
  const session = { flags, json, context, file, team, chosen, console: createConsole(output), output };
  if (flags.listImages !== true && flags.deleteImages !== true)
    sayHeader(session.console, { org: team.org, repo: team.repo, source: file.source, version: flags.version });
  const login = await loginOf(session).catch(withWaysOut(session));
  await using client = connect(login.credentials, session);
  const images = { ...session, client, login };
  if (flags.listImages === true) await listServiceImages(images).catch(withWaysOut(session));
  else if (flags.deleteImages === true) await deleteServiceImages(images).catch(withWaysOut(session));
  else await run(session, client, login.credentials);
}

/** Says what can be done about a failure of the whole command; those of single services are told with them. */
function withWaysOut({ console }: Pick<Session, 'console'>): (thrown: unknown) => never {
  return (thrown) => {
    if (thrown instanceof WorkerError) for (const way of waysOut(thrown)) console.info(way);
    throw thrown;
  };
}

export interface InitFlags {
  readonly directory: string;
  readonly output: string;
  readonly registry?: string;
  readonly org?: string;
  readonly repo?: string;
}

/** `clipyard services init`. */
export async function initServices(flags: InitFlags, json: boolean, { signal, stdout }: CommandContext): Promise<void> {
  const path = resolve(flags.output);
  const names = {
    ...(flags.registry !== undefined && { registry: flags.registry }),
    org: flags.org ?? DEFAULT_ORG,
    repo: flags.repo ?? DEFAULT_REPO,
  };
  const found = await writeServicesFile(path, flags.directory, names, { signal });
  const lines = found.map(({ context, name }) => `  ${name}: ${context}\n`);
  stdout.write(json ? `${JSON.stringify({ path, services: found })}\n` : `${path}\n${lines.join('')}`);
}

/** Lines of a person's run go to stdout as they come; with --json they are events on stderr. */
function outputOf(flags: ServicesFlags, json: boolean, { env, stderr, stdout }: CommandContext): Output {
  const debug = flags.debug === true || env['DEBUG'] === 'true' || env['DEBUG'] === '1';
  const pictures = flags.plain !== true && showsPictures(env);
  const live =
    !json && flags.plain !== true && stderr.isTTY === true && env['TERM'] !== 'dumb'
      ? new LiveView({ output: stderr, now: () => performance.now() })
      : undefined;
  const write = (line: string, level: Level) => {
    if (json) stderr.write(`${JSON.stringify({ event: 'line', level, text: line })}\n`);
    else if (live !== undefined) live.aside(() => stdout.write(`${line}\n`));
    else stdout.write(`${line}\n`);
  };
  return { debug, pictures, write, live };
}

/** GitHub's registry takes a token; every other one what docker knows. Nobody logs in for what needs no registry. */
async function loginOf(session: Session): Promise<LoggedIn> {
  const { console, context, file, flags, team } = session;
  const { env, signal } = context;
  const others = await loadCredentials(env);
  const how = flags.login ?? file.login ?? (team.registry === DEFAULT_REGISTRY ? 'github' : 'docker');
  const needsLogin = flags.push === true || flags.listImages === true || flags.deleteImages === true;
  if (how === 'docker' || !needsLogin) return { credentials: others, token: undefined };
  // A dry run reads with what there is, and asks nobody.
  if (flags.dryRun === true && !env['GITHUB_TOKEN']) return { credentials: others, token: undefined };
  const prompt = promptOf(context);
  const login = await logIn({
    console,
    registry: team.registry,
    env,
    org: team.org,
    others,
    ask: prompt && ((question) => prompt.askHidden(question)),
    connect: (source) => connect(source, session),
    signal,
  });
  const api = packagesApiUrl(team.registry, flags.packagesApi, context);
  const use = flags.listImages === true ? 'list' : flags.deleteImages === true ? 'delete' : 'push';
  if (login.token !== undefined && api !== undefined)
    await checkToken({ api, token: login.token, use, dryRun: flags.dryRun === true, console, context });
  return login;
}

function connect(
  credentials: CredentialSource,
  { context, flags }: Pick<Session, 'context' | 'flags'>,
): RegistryClient {
  const { log } = context;
  return createRegistryClient({ credentials, plainHttp: flags.plainHttp ?? false, log, trust: trustOf(context) });
}

async function run(session: Session, client: RegistryClient, credentials: CredentialSource): Promise<void> {
  const { chosen, console, context, file, flags, json, output } = session;
  const { log, settings, signal, stdout, tools } = context;
  const { stateDir } = settings;
  const workspaceId = parseWorkspaceId(flags.workspace ?? settings.workspace);
  const localStoreUrl = `file://${stateDir}/services/store`;
  await using store = objectStore(context, flags.store);
  const localStore = openStore(localStoreUrl, {});
  await using builder = lazyBuilder(session);
  const request = {
    version: flags.version,
    push: flags.push === true,
    force: flags.force === true,
    diffCheck: flags.diffCheck,
    latest: flags.latest,
    dryRun: flags.dryRun === true,
    explain: flags.explain === true,
    label: file.label,
  };
  const result = await runServices(chosen, request, {
    client,
    store,
    localStore,
    stateDir,
    tools,
    workspaceId,
    lock: createRepositoryLock(stateDir),
    width: parseCount(flags.jobs, '--jobs', { min: 1, max: MAX_JOBS }),
    ...output,
    signal,
    build: async (lines, service, hash, places) => {
      output.live?.start(service.name);
      try {
        return await buildService(
          { service, hash, label: file.label, push: request.push, force: request.force },
          {
            runBuild: builder.runBuild,
            client,
            store,
            places,
            localStoreUrl,
            workspaceId,
            compression: parseCompression({ compression: 'zstd' }),
            logins: loginsOf(credentials),
            report: (event) => {
              output.live?.apply(service.name, event);
              if (event.type === 'phase' && event.state === 'ended')
                lines.debug(`${service.name}: ${event.phase} done`);
            },
            signal,
          },
        );
      } finally {
        output.live?.end(service.name);
      }
    },
  });
  saySummary(console, result, request);
  if (json) {
    const failed = result.failed.map(({ error, service }) => ({ service, code: error.code, message: error.message }));
    stdout.write(`${JSON.stringify({ services: result.done, failed, dryRun: request.dryRun })}\n`);
  }
  log.debug({ services: chosen.length, failed: result.failed.length }, 'services are done');
  const failure = failureOf(result);
  if (failure !== undefined) throw failure;
}

/** Speaks to BuildKit when the first service is built, and not at all where nothing is. */
function lazyBuilder({ context, flags }: Session): AsyncDisposable & { readonly runBuild: RunBuild } {
  const { log, settings, signal, tools } = context;
  const stack = new AsyncDisposableStack();
  const address = flags.buildkit ?? settings.buildkitAddress;
  const contentDir = address === settings.buildkitAddress ? settings.buildkitContentDir : undefined;
  let connected: ReturnType<typeof connectBuildkit> | undefined;
  const packCache = stack.use(packCacheSettings(context));
  return {
    async runBuild(build, { client, report, signal: own, store }) {
      connected ??= connectBuildkit({ address, log, signal, ...(contentDir !== undefined && { contentDir }) }).then(
        (client_) => stack.use(client_),
      );
      return await buildImage(build, {
        buildkit: await connected,
        client,
        store,
        tools,
        log,
        signal: own,
        stateDir: settings.stateDir,
        packCache,
        limits: settings.limits,
        jobs: availableParallelism(),
        report,
        now: () => performance.now(),
      });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
