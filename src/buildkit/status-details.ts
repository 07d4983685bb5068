import type { Metadata } from '@grpc/grpc-js';
import { z } from 'zod';
import { Status } from '../gen/google/rpc/status.ts';

/**
 * Typed details of BuildKit's errors. They travel as `google.rpc.Status` in the trailer `grpc-status-details-bin`; their
 * values are JSON and their type names end in `+json` (BuildKit util/grpcerrors).
 */
export type ErrorDetail =
  | {
      readonly kind: 'source';
      readonly filename: string;
      /** The whole Dockerfile. */
      readonly text: string;
      /** First and last line, from 1. */
      readonly ranges: readonly (readonly [first: number, last: number])[];
    }
  | { readonly kind: 'vertex'; readonly digest: string }
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'frontend'; readonly name: string }
  | { readonly kind: 'other'; readonly type: string };

const Position = z.object({ line: z.number().int().default(0) });
const SourceDetail = z.object({
  info: z.object({ filename: z.string().default(''), data: z.string().default('') }).optional(),
  ranges: z.array(z.object({ start: Position.optional(), end: Position.optional() })).default([]),
});
const VertexDetail = z.object({ digest: z.string() });
const FrontendDetail = z.object({ name: z.string().default('') });
const ExitDetail = z.object({ Code: z.number().int().default(0) });

/** The details of a failed call; what cannot be read is left out, because they only enrich the message. */
export function parseStatusDetails(metadata: Metadata): readonly ErrorDetail[] {
  return metadata.get('grpc-status-details-bin').flatMap((value) => {
    if (typeof value === 'string') return [];
    try {
      return Status.decode(value).details.flatMap(({ typeUrl, value: json }) => parseDetail(typeUrl, json) ?? []);
    } catch {
      return [];
    }
  });
}

function parseDetail(typeUrl: string, json: Buffer): ErrorDetail | undefined {
  const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
  if (!type.endsWith('+json')) return { kind: 'other', type };
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    return undefined;
  }
  return detailOf(type.slice(type.lastIndexOf('.') + 1, -'+json'.length), type, value);
}

function detailOf(name: string, type: string, value: unknown): ErrorDetail | undefined {
  switch (name) {
    case 'Source': {
      const { data } = SourceDetail.safeParse(value);
      if (data === undefined) return undefined;
      return {
        kind: 'source',
        filename: data.info?.filename ?? '',
        text: Buffer.from(data.info?.data ?? '', 'base64').toString(),
        ranges: data.ranges.map(({ end, start }) => [start?.line ?? 0, end?.line ?? start?.line ?? 0]),
      };
    }
    case 'Vertex': {
      const { data } = VertexDetail.safeParse(value);
      return data === undefined ? undefined : { kind: 'vertex', digest: data.digest };
    }
    case 'ExitMessage': {
      const { data } = ExitDetail.safeParse(value);
      return data === undefined ? undefined : { kind: 'exit', exitCode: data.Code };
    }
    case 'Frontend': {
      const { data } = FrontendDetail.safeParse(value);
      return data === undefined ? undefined : { kind: 'frontend', name: data.name };
    }
    default:
      return { kind: 'other', type };
  }
}
