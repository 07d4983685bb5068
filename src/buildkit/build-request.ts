import type { ContextLimits } from './context/context-limits.ts';
import type { LoginSource } from './session/auth.ts';
import type { SecretSource } from './session/secrets.ts';
import type { SourceRule } from './source-rules.ts';

/** Where a Dockerfile comes from: a file (anywhere, also outside the context) or its bytes. */
export type DockerfileSource = { readonly file: string } | { readonly bytes: Uint8Array };

/** A BuildKit cache to import or export: `{type: 'registry', attrs: {ref: …, mode: 'max'}}`. */
export interface CacheSpec {
  readonly type: string;
  readonly attrs: Readonly<Record<string, string>>;
}

/** One build. Every field but the context has a default. */
export interface BuildRequest {
  /** Directory whose files COPY and ADD may take. */
  readonly contextDir: string;
  /** Default: `Dockerfile` in the context, then `dockerfile`. */
  readonly dockerfile?: DockerfileSource;
  readonly target?: string;
  /** `os/arch[/variant]`; more than one makes an index. Default: the daemon's own. */
  readonly platforms?: readonly string[];
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Sets `SOURCE_DATE_EPOCH`: the image's times, in seconds. */
  readonly sourceDateEpoch?: number;
  readonly noCache?: boolean;
  /** By name: a directory of this machine, or what BuildKit knows (`docker-image://…`, `https://…`). */
  readonly namedContexts?: Readonly<Record<string, { readonly dir: string } | { readonly url: string }>>;
  /** What BuildKit shall attest: `{provenance: {mode: 'max'}, sbom: {generator: …}}`. Makes an index, also of one platform. */
  readonly attestations?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `host/repository:tag`: what the attestations' subjects are called. Without it they have no subject. */
  readonly imageName?: string;
  readonly cacheFrom?: readonly CacheSpec[];
  readonly cacheTo?: readonly CacheSpec[];
  /** Entries for /etc/hosts of the steps. */
  readonly addHosts?: readonly { readonly host: string; readonly ip: string }[];
  /** Of the steps. `host` must be allowed by the daemon. */
  readonly network?: 'default' | 'none' | 'host';
  /**
   * The frontend that reads the Dockerfile: the daemon's own whatever the Dockerfile asks for, or an image. Default: what
   * `# syntax=` says.
   */
  readonly syntax?: 'own' | { readonly image: string };
  /** What may be read, and as what; the daemon applies the rules to every source it resolves. None: everything as it is. */
  readonly sourcePolicy?: readonly SourceRule[];
  /** Below which the steps' control groups are made; what it limits, it limits for all of them together. */
  readonly cgroupParent?: string;
  /** By id, for `RUN --mount=type=secret,id=…`. Read when a step asks for them. */
  readonly secrets?: Readonly<Record<string, SecretSource>>;
  /** SSH agent sockets by id, for `RUN --mount=type=ssh`; the id is `default` where the step names none. */
  readonly ssh?: Readonly<Record<string, string>>;
  /** Logins for pulling; none when absent. */
  readonly logins?: LoginSource;
  readonly limits?: Partial<ContextLimits>;
  /** Further attributes of the OCI exporter, over ours: `{compression: 'gzip', 'compression-level': '1'}`. */
  readonly exporter?: Readonly<Record<string, string>>;
}
