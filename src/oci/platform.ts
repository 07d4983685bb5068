import { z } from 'zod';
import { WorkerError } from '../errors/index.ts';

/** OCI image-spec 1.1, image-index.md, "platform". */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly 'os.version'?: string | undefined;
  readonly 'os.features'?: readonly string[] | undefined;
}

/** Parses the JSON object; Go writers leave empty strings and nulls where nothing is. */
export const PlatformSchema = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z
    .string()
    .nullish()
    .transform((value) => value || undefined),
  'os.version': z
    .string()
    .nullish()
    .transform((value) => value || undefined),
  'os.features': z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? undefined),
});

const ARCHITECTURES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  i386: ['386'],
  i686: ['386'],
};
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { amd64: 'v1', arm: 'v7', arm64: 'v8' };
const PART = /^[A-Za-z0-9_.-]+$/;

/** `os/architecture[/variant]`, with the usual other names of architectures. Throws USAGE. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/');
  const [os, architecture, variant] = parts;
  if (os === undefined || architecture === undefined || parts.length > 3 || !parts.every((part) => PART.test(part))) {
    throw new WorkerError(
      'USAGE',
      `no platform: ${JSON.stringify(text)}; it is os/architecture[/variant], e.g. linux/amd64`,
    );
  }
  const [known = architecture.toLowerCase(), knownVariant] = ARCHITECTURES[architecture.toLowerCase()] ?? [];
  const chosen = variant ?? knownVariant;
  return { os: os.toLowerCase(), architecture: known, ...(chosen === undefined ? {} : { variant: chosen }) };
}

/** The short name: the variant that an architecture has by itself is left out (`linux/arm64`, not `linux/arm64/v8`). */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  const shown = variant === undefined || variant === DEFAULT_VARIANTS[architecture] ? undefined : variant;
  return [os, architecture, ...(shown === undefined ? [] : [shown])].join('/');
}

/** Whether both name the same platform; a missing variant is the architecture's default one. */
export function samePlatform(left: Platform, right: Platform): boolean {
  const variantOf = ({ architecture, variant }: Platform) => variant ?? DEFAULT_VARIANTS[architecture];
  return left.os === right.os && left.architecture === right.architecture && variantOf(left) === variantOf(right);
}

/** The platform images are built for on this machine: Linux on the processor Node runs on. */
export function localPlatform(): Platform {
  const architecture =
    ({ x64: 'amd64', ia32: '386' } as Readonly<Record<string, string>>)[process.arch] ?? process.arch;
  return { os: 'linux', architecture };
}
