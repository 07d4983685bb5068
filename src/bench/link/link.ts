import { WorkerError } from '../../errors/index.ts';

/** A network between this machine and the registry. */
export interface Link {
  /** Each way, over all connections together. */
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
}

const BANDWIDTH = /^(\d+(?:\.\d+)?)\s*(?:([kmg])(?:bit|bps|bit\/s)|([kmg])(i?)b\/s)$/i;
const ROUND_TRIP = /^(\d+(?:\.\d+)?)\s*(ms|s)$/i;
const POWERS: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3 };

/** `90mbit,20ms`, `1gbit`, `100MB/s,5ms`: bandwidth, then the round trip (0 when it is left out). Throws USAGE. */
export function parseLink(text: string): Link {
  const [bandwidth = '', roundTrip, ...rest] = text.split(',').map((part) => part.trim());
  const bytesPerSecond = bandwidthOf(bandwidth);
  const match = roundTrip === undefined ? undefined : ROUND_TRIP.exec(roundTrip);
  if (rest.length > 0 || match === null || !(bytesPerSecond > 0))
    throw new WorkerError('USAGE', `--link ${text}: write BANDWIDTH[,ROUND TRIP], as 90mbit,20ms or 100MB/s`);
  const roundTripMs = match === undefined ? 0 : Number(match[1]) * (match[2]?.toLowerCase() === 's' ? 1000 : 1);
  return { bytesPerSecond, roundTripMs };
}

function bandwidthOf(text: string): number {
  const match = BANDWIDTH.exec(text);
  if (match === null) return Number.NaN;
  const [, value, bits, bytes, binary] = match;
  if (bits !== undefined) return (Number(value) * 1000 ** (POWERS[bits.toLowerCase()] ?? 0)) / 8;
  return Number(value) * (binary ? 1024 : 1000) ** (POWERS[bytes?.toLowerCase() ?? ''] ?? 0);
}
