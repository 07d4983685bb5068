import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { type Cancelable, messageOf, WorkerError } from '../errors/index.ts';
import type { ControlClient, StatusResponse } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { SolveRequest } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { callUnary } from '../rpc/index.ts';
import type { Log } from '../telemetry/index.ts';
import { buildFailureOf } from './build-failure.ts';
import type { BuildRequest } from './build-request.ts';
import { failureOfCall } from './call-failure.ts';
import type { BuildProgress } from './progress/build-progress.ts';
import type { Session } from './session/session.ts';
import { type Subrequest, solveRequestOf } from './solve-request.ts';

/** After Solve ended, Status may still bring the last lines; silence this long means that it will not end by itself. */
const STATUS_SILENCE_MS = 5_000;
/** The same where Status never said anything: then Solve failed before the job existed, and Status waits for ever. */
const STATUS_NEVER_STARTED_MS = 500;

export interface SolveOptions extends Cancelable {
  readonly control: ControlClient;
  readonly session: Session;
  readonly progress: BuildProgress;
  readonly dockerfileName: string;
  readonly stepsOnly?: boolean;
  readonly subrequest?: Subrequest | undefined;
  /** What a handler of ours threw; the daemon only repeats it in its own words. */
  readonly handlerFailure: () => WorkerError | undefined;
  readonly log: Log;
}

/**
 * Runs Solve and Status side by side and gives the exporter's answer. Abort, or the loss of the session, cancels the solve
 * at once, which kills a running step.
 */
export async function solve(request: BuildRequest, options: SolveOptions): Promise<Readonly<Record<string, string>>> {
  const { control, dockerfileName, handlerFailure, log, progress, session, signal, stepsOnly = false } = options;
  const { subrequest } = options;
  const ref = randomUUID();
  const ids = {
    ref,
    sessionId: session.id,
    dockerfileName,
    stepsOnly,
    ...(subrequest !== undefined && { subrequest }),
  };
  const message = SolveRequest.fromPartial(solveRequestOf(request, ids));
  const following = new StatusFollower(control, ref, progress, log);
  try {
    const either = AbortSignal.any([signal, session.lost]);
    const { ExporterResponse: response } = await callUnary(control.solve.bind(control), message, { signal: either });
    await following.drain();
    return response;
  } catch (thrown) {
    signal.throwIfAborted();
    await following.drain();
    session.lost.throwIfAborted();
    const ours = handlerFailure();
    if (ours !== undefined) throw ours;
    throw buildFailureOf(failureOfCall(thrown, 'build'), (vertex) => progress.failedStep(vertex));
  } finally {
    following.stop();
  }
}

/** Feeds the progress from `Control.Status` until the build is over. */
class StatusFollower {
  readonly #stream: ClientReadableStream<StatusResponse>;
  readonly #ended: Promise<void>;
  readonly #progress: BuildProgress;
  #lastMessageMs: number | undefined;
  #over = false;

  constructor(control: ControlClient, ref: string, progress: BuildProgress, log: Log) {
    this.#stream = control.status({ Ref: ref });
    this.#progress = progress;
    this.#ended = this.#follow(progress, log);
  }

  /** Waits for the end of the stream, or until it has been silent for long enough. */
  async drain(): Promise<void> {
    const solvedMs = performance.now();
    while (!this.#over) {
      const silenceMs =
        performance.now() - (this.#lastMessageMs === undefined ? solvedMs : Math.max(solvedMs, this.#lastMessageMs));
      const leftMs = (this.#lastMessageMs === undefined ? STATUS_NEVER_STARTED_MS : STATUS_SILENCE_MS) - silenceMs;
      if (leftMs <= 0) {
        this.#progress.end();
        return;
      }
      using timer = abortable();
      await Promise.race([this.#ended, sleep(leftMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
    }
  }

  stop(): void {
    this.#stream.cancel();
  }

  async #follow(progress: BuildProgress, log: Log): Promise<void> {
    try {
      for await (const message of this.#stream as AsyncIterable<StatusResponse>) {
        this.#lastMessageMs = performance.now();
        progress.apply(message);
      }
    } catch (thrown) {
      // Solve decides how the build ends; without Status there is only nothing to show.
      log.debug({ reason: messageOf(thrown) }, 'build status ended');
    }
    progress.end();
    this.#over = true;
  }
}

function abortable(): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      controller.abort();
    },
  };
}
