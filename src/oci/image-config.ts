import { z } from 'zod';
import type { Digest } from '../digest/index.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { DigestSchema, orAbsent } from './descriptor.ts';
import type { Platform } from './platform.ts';

/** How a container of the image is started (OCI image-spec 1.1, config.md, "config"). */
export interface ExecutionConfig {
  readonly User?: string | undefined;
  readonly Env?: readonly string[] | undefined;
  readonly Entrypoint?: readonly string[] | undefined;
  readonly Cmd?: readonly string[] | undefined;
  readonly WorkingDir?: string | undefined;
  readonly StopSignal?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
  readonly ExposedPorts?: Readonly<Record<string, unknown>> | undefined;
  readonly Volumes?: Readonly<Record<string, unknown>> | undefined;
}

export interface HistoryEntry {
  readonly created?: string | undefined;
  readonly created_by?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly empty_layer?: boolean | undefined;
}

/** OCI image-spec 1.1, config.md; field names as in the JSON. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly 'os.version'?: string | undefined;
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly config?: ExecutionConfig | undefined;
  /** The digest of every layer's plain tar stream, bottom first. */
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly HistoryEntry[] | undefined;
}

export const MAX_CONFIG_BYTES = 8 * 1024 * 1024;

const text = orAbsent(z.string()).optional();
const texts = orAbsent(z.array(z.string())).optional();
const set = orAbsent(z.record(z.string(), z.unknown())).optional();

const ImageConfigSchema: z.ZodType<ImageConfig> = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: text,
  'os.version': text,
  created: text,
  author: text,
  config: orAbsent<ExecutionConfig>(
    z.object({
      User: text,
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      WorkingDir: text,
      StopSignal: text,
      Labels: orAbsent(z.record(z.string(), z.string())).optional(),
      ExposedPorts: set,
      Volumes: set,
    }),
  ).optional(),
  rootfs: z.object({
    type: z.literal('layers'),
    // A `FROM scratch` image without a layer is written as null by some tools.
    diff_ids: z
      .array(DigestSchema)
      .nullable()
      .transform((value) => value ?? []),
  }),
  history: orAbsent<HistoryEntry[]>(
    z.array(
      z.object({
        created: text,
        created_by: text,
        author: text,
        comment: text,
        empty_layer: orAbsent(z.boolean()).optional(),
      }),
    ),
  ).optional(),
});

/** Throws MANIFEST_INVALID, LIMIT_EXCEEDED. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  return parseBoundedJson(bytes, 'image configuration', ImageConfigSchema, {
    maxBytes: MAX_CONFIG_BYTES,
    maxDepth: 64,
  });
}

export function platformOfConfig(config: ImageConfig): Platform {
  const { os, architecture, variant, 'os.version': version } = config;
  return { os, architecture, ...(variant ? { variant } : {}), ...(version ? { 'os.version': version } : {}) };
}
