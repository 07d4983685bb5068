import { z } from 'zod';
import { type Digest, isDigest } from '../digest/index.ts';
import { messageOf, WorkerError } from '../errors/index.ts';
import type { Descriptor } from '../oci/index.ts';
import type { LandedBlob } from './landing/lander.ts';
import type { StepCounts } from './progress/build-progress.ts';

export type ExportedDescriptor = Descriptor;

export interface BuildkitResult extends StepCounts {
  /** The manifest, or the index of several platforms. */
  readonly descriptor: ExportedDescriptor;
  readonly exporterResponse: Readonly<Record<string, string>>;
  readonly blobs: readonly LandedBlob[];
  /** Images the stages start from, as BuildKit resolved them. */
  readonly baseReferences: readonly string[];
}

const DESCRIPTOR_KEY = 'containerimage.descriptor';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'no sha256 digest');
const DescriptorJson = z.object({
  mediaType: z.string().min(1),
  digest,
  size: z.number().int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
});

/** Throws BUILDKIT_PROTOCOL. */
export function exportedDescriptorOf(exporterResponse: Readonly<Record<string, string>>): ExportedDescriptor {
  return parseDescriptor(Buffer.from(exporterResponse[DESCRIPTOR_KEY] ?? '', 'base64').toString(), 'the image');
}

/** What the daemon says of something it exported. Throws BUILDKIT_PROTOCOL. */
export function parseDescriptor(text: string, what: string): Descriptor {
  try {
    return DescriptorJson.parse(JSON.parse(text));
  } catch (cause) {
    throw new WorkerError(
      'BUILDKIT_PROTOCOL',
      `buildkitd describes ${what} by ${text === '' ? 'nothing' : text.slice(0, 300)}: ${messageOf(cause)}`,
      {},
      { cause },
    );
  }
}
