import { type ErrorCode, WorkerError } from '../errors/index.ts';
import type { CallFailure } from './call-failure.ts';
import type { LogTail } from './progress/log-tail.ts';
import { RPC_CODE } from './session/rpc-status.ts';
import type { ErrorDetail } from './status-details.ts';

/** What the progress of the build knows of the step that failed. */
export interface FailedStep {
  readonly name: string;
  readonly tail: LogTail;
}

/** Log lines that go into the details. */
const DETAIL_LOG_LINES = 50;
/** Log lines that go into the message. */
const SHOWN_LOG_LINES = 20;
/** A COPY or ADD whose source is not in its context, stage or image. */
const MISSING_SOURCE = /failed to calculate checksum of ref \S+: (?<path>".*"): not found/;
/**
 * A daemon killed between the rename of a snapshot's directory and the commit of its number gives the number again. The
 * failure removes that directory (containerd v2.3, plugins/snapshots/overlay), so the next build goes through.
 */
const SNAPSHOT_LEFT = /failed to prepare .*: failed to rename: rename \S+ \S+: file exists/;
/** Lines of the Dockerfile shown around the ones at fault. */
const CONTEXT_LINES = 2;

/**
 * A failed `Control.Solve` as one of our errors. gRPC codes hardly classify, so the typed details do: an exit status is a
 * step of the user, a frontend or source detail is the Dockerfile or a name in it, neither is the daemon's own trouble.
 */
export function buildFailureOf(
  failure: CallFailure,
  failedStep: (vertex: string | undefined) => FailedStep | undefined,
): WorkerError {
  if (failure.rpcCode === RPC_CODE.canceled || failure.rpcCode === RPC_CODE.unavailable) return failure.error;
  const find = <Kind extends ErrorDetail['kind']>(kind: Kind) =>
    failure.details.find((detail): detail is Extract<ErrorDetail, { kind: Kind }> => detail.kind === kind);
  const source = find('source');
  const exit = find('exit');
  const step = failedStep(find('vertex')?.digest);
  const lines = source === undefined ? undefined : sourceLines(source);
  const code = codeOf(failure.text, {
    exited: exit !== undefined,
    lines: lines?.faulty,
    hasSource: source !== undefined,
  });
  const details = {
    ...(step !== undefined && { step: step.name, logLines: step.tail.last(DETAIL_LOG_LINES) }),
    ...(exit !== undefined && { exitCode: exit.exitCode }),
    ...(source !== undefined &&
      lines !== undefined && { dockerfile: source.filename, line: lines.first, dockerfileLines: lines.faulty }),
  };
  const parts = [
    headline(code, failure.text, step, exit?.exitCode),
    step === undefined || step.tail.count === 0 ? undefined : lastLines(step),
    source === undefined || lines === undefined ? undefined : `${source.filename}:${lines.first}\n${lines.shown}`,
  ];
  return new WorkerError(code, parts.filter((part) => part !== undefined).join('\n'), details, {
    cause: failure.error.cause,
  });
}

interface Signs {
  readonly exited: boolean;
  readonly hasSource: boolean;
  readonly lines: readonly string[] | undefined;
}

/** Text decides only among causes that the typed details leave open; each pattern is one that BuildKit v0.33 writes. */
function codeOf(text: string, { exited, hasSource, lines }: Signs): ErrorCode {
  if (exited) return 'BUILD_STEP_FAILED';
  if (SNAPSHOT_LEFT.test(text)) return 'BUILDKIT_INTERRUPTED';
  if (/secret \S+: not found/.test(text)) return 'SECRET_NOT_FOUND';
  if (/failed to read dockerfile: .*no such file/.test(text)) return 'DOCKERFILE_NOT_FOUND';
  if (/no access allowed to dir/.test(text)) return 'CONTEXT_NOT_FOUND';
  if (/denied by policy/.test(text)) return 'SOURCE_DENIED';
  if (/no active session for/.test(text)) return 'BUILDKIT_SESSION_LOST';
  if (/granting entitlement .* is not allowed|syntax error in pattern/.test(text)) return 'CONFIG_INVALID';
  if (MISSING_SOURCE.test(text)) {
    return lines?.some(leavesContext) === true ? 'CONTEXT_PATH_OUTSIDE' : 'BUILD_SOURCE_FAILED';
  }
  if (/failed to resolve source metadata|failed to load cache key|pull access denied|failed to do request/.test(text))
    return 'BUILD_SOURCE_FAILED';
  if (
    /dockerfile parse error|Dockerfile cannot be empty|failed to parse|target stage .* could not be found|failed to process /.test(
      text,
    ) ||
    hasSource
  )
    return 'DOCKERFILE_INVALID';
  return 'BUILD_FAILED';
}

/** BuildKit reads `COPY ../x` as `/x` of the context; where that is missing, the dots are what is wrong. */
function leavesContext(line: string): boolean {
  return /^\s*(?:COPY|ADD)\b.*[\s"'/]\.\.(?:\/|[\s"']|$)/i.test(line);
}

function headline(code: ErrorCode, text: string, step: FailedStep | undefined, exitCode: number | undefined): string {
  const [firstLine = ''] = text.split('\n');
  if (code === 'BUILD_STEP_FAILED' && step !== undefined)
    return `${step.name} ended with exit code ${exitCode ?? 'unknown'}`;
  const missing = MISSING_SOURCE.exec(text)?.groups?.['path'];
  if (missing === undefined) return firstLine;
  const outside = code === 'CONTEXT_PATH_OUTSIDE' ? ' (`..` does not lead out of the build context)' : '';
  return `${step?.name ?? 'a step'}: ${missing} is not there${outside}`;
}

function lastLines({ tail }: FailedStep): string {
  const shown = tail.last(SHOWN_LOG_LINES);
  const head = shown.length < tail.count ? `last ${shown.length} lines of the step:` : 'output of the step:';
  return [head, ...shown.map((line) => `  ${line}`)].join('\n');
}

interface SourceLines {
  /** From 1. */
  readonly first: number;
  /** The lines at fault, without numbers. */
  readonly faulty: readonly string[];
  /** The same with their neighbours, numbers and marks. */
  readonly shown: string;
}

function sourceLines({ ranges, text }: Extract<ErrorDetail, { kind: 'source' }>): SourceLines | undefined {
  const all = text.replace(/\n$/, '').split('\n');
  const first = Math.min(...ranges.map(([from]) => from));
  const last = Math.max(...ranges.map(([, to]) => to));
  if (!(first >= 1 && last >= first && first <= all.length)) return undefined;
  const from = Math.max(1, first - CONTEXT_LINES);
  const to = Math.min(all.length, last + CONTEXT_LINES);
  const shown = all.slice(from - 1, to).map((line, at) => {
    const number = from + at;
    return `${String(number).padStart(4)} ${number >= first && number <= last ? '>>>' : '   '} ${line}`;
  });
  return { first, faulty: all.slice(first - 1, last), shown: shown.join('\n') };
}
