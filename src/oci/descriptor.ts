import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import { type Platform, PlatformSchema } from './platform.ts';

/** Names content by type, digest and size (OCI image-spec 1.1, descriptor.md); field names as in the JSON. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly platform?: Platform | undefined;
  readonly urls?: readonly string[] | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export const DigestSchema = z.string().refine(isDigest, 'no sha256 digest') as unknown as z.ZodType<Digest>;

/** Go writers put null where nothing is; ours is undefined. */
export const orAbsent = <T>(schema: z.ZodType<T>): z.ZodType<T | undefined> =>
  schema.nullish().transform((value) => value ?? undefined);

export const AnnotationsSchema = orAbsent(z.record(z.string(), z.string()));

export const DescriptorSchema: z.ZodType<Descriptor> = z.object({
  mediaType: z.string().min(1),
  digest: DigestSchema,
  size: z.int().nonnegative(),
  artifactType: orAbsent(z.string()).optional(),
  platform: orAbsent<Platform>(PlatformSchema).optional(),
  urls: orAbsent(z.array(z.string())).optional(),
  annotations: AnnotationsSchema.optional(),
});
