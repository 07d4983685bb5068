import { z } from 'zod';
import { type ErrorCode, WorkerError } from '../errors/index.ts';
import type { Clock } from './clock.ts';

/** distribution-spec 1.1, "Error Codes". */
const ErrorBody = z.object({
  errors: z.array(
    z.object({ code: z.string().optional(), message: z.string().optional(), detail: z.unknown().optional() }),
  ),
});

const MAX_MESSAGE = 500;
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** What a registry said instead of doing it. */
export interface Refusal {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
  /** Values that must not be repeated in a message, should the registry echo them. */
  readonly secrets: readonly string[];
}

/** The answer as an error: status decides the code, the registry's own code and message go into the text. */
export function refusalError(doing: string, { status, retryAfter, body, secrets }: Refusal, clock: Clock): WorkerError {
  const { registryCode, text } = readBody(body);
  const retryAfterMs = retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, clock.nowMs());
  const said = secrets.reduce((message, secret) => message.replaceAll(secret, '[redacted]'), text);
  const message = `${doing}: ${status}${registryCode === undefined ? '' : ` ${registryCode}`}${said === '' ? '' : `: ${clip(said)}`}`;
  return new WorkerError(codeOf(status, registryCode), message, {
    status,
    ...(registryCode === undefined ? {} : { registryCode }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3), as milliseconds from now; undefined when it is neither. */
export function parseRetryAfter(value: string, nowMs: number): number | undefined {
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000;
  // Date.parse alone would take a year out of anything.
  const dateMs = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

function codeOf(status: number, registryCode: string | undefined): ErrorCode {
  if (registryCode === 'TOOMANYREQUESTS' || status === 429) return 'REGISTRY_THROTTLED';
  // Some registries answer 401 to a login that is known and may not.
  if (status === 403 || (status === 401 && registryCode === 'DENIED')) return 'REGISTRY_DENIED';
  if (status === 401) return 'REGISTRY_UNAUTHENTICATED';
  if (registryCode === 'MANIFEST_BLOB_UNKNOWN') return 'BLOB_MISSING';
  if (status === 404) return 'REGISTRY_NOT_FOUND';
  if (status === 408 || (status >= 500 && status !== 501)) return 'REGISTRY_UNAVAILABLE';
  return status >= 400 ? 'REGISTRY_REFUSED' : 'REGISTRY_PROTOCOL';
}

function readBody(body: string): { registryCode?: string; text: string } {
  try {
    const [first] = ErrorBody.parse(JSON.parse(body)).errors;
    if (first === undefined) return { text: '' };
    return {
      ...(first.code === undefined ? {} : { registryCode: first.code.slice(0, 60) }),
      text: first.message ?? '',
    };
  } catch {
    return { text: body }; // a proxy's page; it may still say why
  }
}

function clip(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}…` : line;
}
