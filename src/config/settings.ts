import { join, resolve } from 'node:path';
import { z } from 'zod';
import { WorkerError } from '../errors/index.ts';
import { LIMIT_NAMES, LIMIT_SETTINGS, type Limits, type LimitVariable, limitVariable, parseLimit } from './limits.ts';

/** A row for each limit, with how far it goes. */
const LIMIT_SCHEMAS = Object.fromEntries(
  LIMIT_NAMES.map((name) => {
    const { help, most, value } = LIMIT_SETTINGS[name];
    const schema = z.string().superRefine((text, context) => {
      const parsed = parseLimit(name, text);
      if (typeof parsed === 'string') context.addIssue({ code: 'custom', message: parsed });
    });
    const reach = (most as string) === value ? 'It can only be lowered.' : `At most ${most}.`;
    return [limitVariable(name), schema.default(value).describe(`${help} ${reach}`)];
  }),
) as Record<LimitVariable, z.ZodDefault<z.ZodString>>;

/**
 * Everything the environment can set, with defaults. Read once in `bin/`, frozen, passed by slice. Each description
 * is a row of docs/configuration.md, which is generated from this schema.
 */
export const SettingsSchema = z.object({
  CLIPYARD_BUILDKIT: z
    .string()
    .default('unix:///run/buildkit/buildkitd.sock')
    .describe('Address of buildkitd: `unix:///path` or `tcp://host:port`.'),
  CLIPYARD_BUILDKIT_CONTENT: z
    .string()
    .optional()
    .describe(
      "The daemon's content directory (`<root>/runc-overlayfs/content`), where it runs on this machine: layers are then linked instead of copied.",
    ),
  CLIPYARD_REGISTRY: z
    .string()
    .optional()
    .describe('Registry that images are pushed to: `host[:port]` or `host[:port]/repository`.'),
  CLIPYARD_STORE: z
    .string()
    .optional()
    .describe('Object store for archives: `s3://bucket[/prefix]` or `file:///directory`.'),
  CLIPYARD_STATE: z
    .string()
    .default('.clipyard')
    .describe('Directory for caches, layouts and mounts; it must lie on a real filesystem (ext4, xfs, btrfs).'),
  CLIPYARD_CACHE: z.string().optional().describe('Directory of the runtime cache; default `cache` in CLIPYARD_STATE.'),
  CLIPYARD_MOUNTD: z
    .string()
    .optional()
    .describe(
      'Socket of a mount daemon that runs already (packaging/clipyard-mountd.service); without it commands start one of their own, which ends with its last mount.',
    ),
  CLIPYARD_MOUNTD_OPTIONS: z
    .string()
    .optional()
    .describe(
      'Options of a mount daemon that a command starts, as `clipyard-mountd hold` takes them: `--page-cache single --bytes-per-second 50000000`.',
    ),
  CLIPYARD_PACK_CACHE: z
    .string()
    .optional()
    .describe(
      'Object store that shares indexes of packed layers between machines: `s3://bucket[/prefix]` or `file:///directory`. Who may write there is trusted like this machine.',
    ),
  CLIPYARD_PACK_CACHE_SIZE: z
    .string()
    .default('20GB')
    .describe('Size that the local pack cache (`packs` in CLIPYARD_STATE) is kept below: `20GB`, `512MiB`.'),
  CLIPYARD_WORKSPACE: z.string().default('default').describe('Workspace id of builds without `--workspace`.'),
  CLIPYARD_RELEASE_OWNER: z.string().optional().describe('Owner of releases without `--owner`.'),
  CLIPYARD_RELEASE_DOMAIN: z.string().optional().describe('Domain of releases without `--domain`.'),
  CLIPYARD_SYFT: z
    .string()
    .default('auto')
    .describe(
      'Whether scans use syft, without `--syft`: `auto` (where it is on the PATH), `always`, `never`, or the path of the program.',
    ),
  CLIPYARD_TRIVY: z.string().default('auto').describe('Whether scans use trivy, without `--trivy`; as CLIPYARD_SYFT.'),
  CLIPYARD_RETENTION: z
    .string()
    .optional()
    .describe(
      'What `release` and `matrix` delete behind a success, without `--retention`: `keep=5,order=version`, or a YAML file (docs/retention.md).',
    ),
  CLIPYARD_PACKAGES_API: z
    .string()
    .optional()
    .describe(
      "GitHub's packages API, which lists and deletes what its registry does not, without `--packages-api`: a URL, or `HOST=URL` for the images of that registry alone (`containers.git.example=https://git.example/api/v3`). For ghcr.io it is `https://api.github.com` of itself. The token is GITHUB_TOKEN.",
    ),
  CLIPYARD_NATIVE_DIR: z
    .string()
    .optional()
    .describe('Directory of the native tools, where they are not beside the program or on the PATH.'),
  CLIPYARD_CA_FILE: z
    .string()
    .optional()
    .describe(
      "PEM file of authorities to trust beside the system's, for registries and object stores, in commands and in mounts.",
    ),
  CLIPYARD_SERVER: z
    .string()
    .default('127.0.0.1:7480')
    .describe(
      'Address of a worker for `submit`, `watch`, `cancel`, `builds`, `drain`: `host:port`, `https://host:port` or `unix:///path`.',
    ),
  CLIPYARD_TOKEN: z
    .string()
    .optional()
    .describe('Bearer token for the worker; it names the workspace. Only commands that call one read it.'),
  CLIPYARD_CLIENT_CERT: z
    .string()
    .optional()
    .describe('PEM file of the certificate that commands show to a worker that asks for one (mTLS).'),
  CLIPYARD_CLIENT_KEY: z.string().optional().describe('PEM file of its key.'),
  CLIPYARD_QUEUE: z
    .string()
    .optional()
    .describe(
      'Queue of a worker: `sqlite:FILE` (one machine, many processes) or `redis://host:port[/db]`; default `sqlite:` with `queue.db` in CLIPYARD_STATE.',
    ),
  CLIPYARD_REDIS: z
    .string()
    .optional()
    .describe('Address of a Redis or Valkey, `redis://host:port[/db]`, for the tests and for `--queue redis`.'),
  CLIPYARD_LOG: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('Level of the log on stderr.'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .optional()
    .describe(
      'Address of an OpenTelemetry collector (OTLP over HTTP), `http://host:4318`: a worker sends a trace of each build.',
    ),
  DOCKER_CONFIG: z
    .string()
    .optional()
    .describe('Directory of the docker `config.json` with registry logins; default `~/.docker`.'),
  ...LIMIT_SCHEMAS,
});

export interface Settings {
  readonly buildkitAddress: string;
  readonly buildkitContentDir: string | undefined;
  readonly registry: string | undefined;
  readonly store: string | undefined;
  readonly stateDir: string;
  readonly cacheDir: string;
  /** Socket of a mount daemon that somebody else manages. */
  readonly mountSocket: string | undefined;
  /** Command line of a mount daemon that a command starts. */
  readonly mountOptions: readonly string[];
  readonly packCacheStore: string | undefined;
  /** As written; the command line parses sizes. */
  readonly packCacheSize: string;
  /** PEM file of further authorities. */
  readonly caFile: string | undefined;
  readonly workspace: string;
  readonly releaseOwner: string | undefined;
  readonly releaseDomain: string | undefined;
  /** `auto`, `always`, `never`, or a path. */
  readonly syft: string;
  readonly trivy: string;
  /** As written; the command line reads it. */
  readonly retention: string | undefined;
  /** As written: a URL, or `HOST=URL`. */
  readonly packagesApi: string | undefined;
  /** Where a worker listens. */
  readonly server: string;
  /** PEM files of the client's own certificate and key. */
  readonly clientCert: string | undefined;
  readonly clientKey: string | undefined;
  /** Where traces go. */
  readonly otlpEndpoint: string | undefined;
  /** `sqlite:FILE` or `redis://…`. */
  readonly queue: string;
  readonly redis: string | undefined;
  /** What a layer may cost; `--limit` goes before. */
  readonly limits: Limits;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** Throws CONFIG_INVALID with the variable's name. */
export function loadSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  // An empty variable is an unset one: shells and compose files write them so.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = SettingsSchema.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new WorkerError(
      'CONFIG_INVALID',
      `${issue?.path.join('.') ?? 'environment'}: ${issue?.message ?? 'not valid'}`,
    );
  }
  const { data } = parsed;
  const limits = data as Readonly<Record<LimitVariable, string>>;
  const stateDir = resolve(data.CLIPYARD_STATE);
  return Object.freeze({
    buildkitAddress: data.CLIPYARD_BUILDKIT,
    buildkitContentDir: data.CLIPYARD_BUILDKIT_CONTENT,
    registry: data.CLIPYARD_REGISTRY,
    store: data.CLIPYARD_STORE,
    stateDir,
    cacheDir: data.CLIPYARD_CACHE === undefined ? join(stateDir, 'cache') : resolve(data.CLIPYARD_CACHE),
    mountSocket: data.CLIPYARD_MOUNTD === undefined ? undefined : resolve(data.CLIPYARD_MOUNTD),
    mountOptions: Object.freeze(data.CLIPYARD_MOUNTD_OPTIONS?.split(/\s+/).filter((word) => word !== '') ?? []),
    packCacheStore: data.CLIPYARD_PACK_CACHE,
    packCacheSize: data.CLIPYARD_PACK_CACHE_SIZE,
    caFile: data.CLIPYARD_CA_FILE === undefined ? undefined : resolve(data.CLIPYARD_CA_FILE),
    workspace: data.CLIPYARD_WORKSPACE,
    releaseOwner: data.CLIPYARD_RELEASE_OWNER,
    releaseDomain: data.CLIPYARD_RELEASE_DOMAIN,
    syft: data.CLIPYARD_SYFT,
    trivy: data.CLIPYARD_TRIVY,
    retention: data.CLIPYARD_RETENTION,
    packagesApi: data.CLIPYARD_PACKAGES_API,
    server: data.CLIPYARD_SERVER,
    clientCert: data.CLIPYARD_CLIENT_CERT === undefined ? undefined : resolve(data.CLIPYARD_CLIENT_CERT),
    clientKey: data.CLIPYARD_CLIENT_KEY === undefined ? undefined : resolve(data.CLIPYARD_CLIENT_KEY),
    queue: data.CLIPYARD_QUEUE ?? `sqlite:${join(stateDir, 'queue.db')}`,
    redis: data.CLIPYARD_REDIS,
    otlpEndpoint: data.OTEL_EXPORTER_OTLP_ENDPOINT,
    limits: Object.freeze(
      Object.fromEntries(
        LIMIT_NAMES.map((name) => [LIMIT_SETTINGS[name].key, parseLimit(name, limits[limitVariable(name)] ?? '')]),
      ) as unknown as Limits,
    ),
    logLevel: data.CLIPYARD_LOG,
  });
}
