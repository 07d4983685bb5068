import { z } from 'zod';
import { messageOf, WorkerError } from '../../errors/index.ts';

/** An object whose values are texts; not z.record, which leaves out the key `__proto__`. */
const textMap = mapOf((value) => typeof value === 'string');
/** An object of which only the keys count. */
const keySet = mapOf(() => true);

function mapOf(fits: (value: unknown) => boolean) {
  return z
    .custom<Readonly<Record<string, string>>>(
      (value) =>
        typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(fits),
    )
    .nullish()
    .transform((value): ReadonlyMap<string, string> => new Map(Object.entries(value ?? {})));
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const texts = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);

/** What archives repeat of an image configuration (image-spec 1.1, config.md); what is absent is empty. */
const ConfigSchema = z.object({
  created: text,
  author: text,
  architecture: text,
  os: text,
  variant: text,
  docker_version: text,
  config: z
    .object({
      User: text,
      ExposedPorts: keySet,
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      Volumes: keySet,
      WorkingDir: text,
      Labels: textMap,
      StopSignal: text,
    })
    .nullish(),
  rootfs: z.object({ diff_ids: texts }).nullish(),
});
export type RepeatedConfig = z.infer<typeof ConfigSchema>;

const ManifestSchema = z.object({
  config: z.object({ digest: z.string() }),
  // BuildKit writes null where there is none
  layers: z
    .array(z.object({ mediaType: z.string(), digest: z.string(), size: z.int().nonnegative(), annotations: textMap }))
    .nullable()
    .transform((layers) => layers ?? []),
});
export type RepeatedManifest = z.infer<typeof ManifestSchema>;

/** Throws MANIFEST_INVALID. */
export function readConfig(bytes: Uint8Array): RepeatedConfig {
  return read(bytes, 'image configuration', ConfigSchema);
}

/** Throws MANIFEST_INVALID. */
export function readManifest(bytes: Uint8Array): RepeatedManifest {
  return read(bytes, 'manifest', ManifestSchema);
}

function read<T>(bytes: Uint8Array, what: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)));
  } catch (cause) {
    throw new WorkerError('MANIFEST_INVALID', `the ${what}: ${messageOf(cause).slice(0, 300)}`, {}, { cause });
  }
}
