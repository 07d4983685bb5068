import { messageOf, WorkerError } from '../../errors/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { Span } from './attempt-trace.ts';

export interface TraceSenderOptions {
  /** Of a collector, without the path: `http://127.0.0.1:4318`. undefined: traces are thrown away. */
  readonly endpoint: string | undefined;
  readonly workerId: string;
  readonly version: string;
  readonly log: Log;
}

const SEND_MS = 5000;
/** Attempts whose traces are on the way; more are left out: a collector that is away costs no build anything. */
const MAX_PENDING = 32;

/** Sends traces as OTLP over HTTP in JSON (opentelemetry-proto, "OTLP/HTTP"). Disposing waits for those on the way. */
export class TraceSender implements AsyncDisposable {
  readonly #url: URL | undefined;
  readonly #options: TraceSenderOptions;
  readonly #pending = new Set<Promise<void>>();

  /** Throws CONFIG_INVALID. */
  constructor(options: TraceSenderOptions) {
    const { endpoint } = options;
    this.#options = options;
    if (endpoint === undefined) return;
    if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
      throw new WorkerError('CONFIG_INVALID', `OTEL_EXPORTER_OTLP_ENDPOINT ${endpoint} is no http address`);
    this.#url = new URL(`${endpoint.replace(/\/+$/, '')}/v1/traces`);
  }

  send(spans: readonly Span[]): void {
    if (this.#url === undefined || this.#pending.size >= MAX_PENDING) return;
    const sending = this.#post(this.#url, spans).finally(() => {
      this.#pending.delete(sending);
    });
    this.#pending.add(sending);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #post(url: URL, spans: readonly Span[]): Promise<void> {
    const { log, version, workerId } = this.#options;
    const attributes = Object.entries({
      'service.name': 'clipyard-worker',
      'service.version': version,
      'service.instance.id': workerId,
    }).map(([key, stringValue]) => ({ key, value: { stringValue } }));
    const scope = { name: 'clipyard', version };
    const body = JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope, spans }] }] });
    try {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(SEND_MS) });
      await response.body?.cancel();
      if (!response.ok) log.warn({ host: url.host, status: response.status }, 'a trace was refused');
    } catch (thrown) {
      log.warn({ host: url.host, reason: messageOf(thrown) }, 'a trace could not be sent');
    }
  }
}
