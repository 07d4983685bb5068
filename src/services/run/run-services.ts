import pLimit from 'p-limit';
import { toWorkerError, WorkerError } from '../../errors/index.ts';
import { type Console, createConsole, type Level } from '../console/console.ts';
import { OrderedLines } from '../console/ordered-lines.ts';
import { texts } from '../console/texts.ts';
import type { Service } from '../file/service.ts';
import { LATEST } from '../push/plan-tags.ts';
import { type ProcessContext, processService, type RunRequest, type ServiceResult } from './process-service.ts';

export interface RunContext extends Omit<ProcessContext, 'console' | 'build'> {
  readonly debug: boolean;
  readonly pictures: boolean;
  readonly write: (line: string, level: Level) => void;
  /** Services at once. */
  readonly width: number;
  /** `console` is that service's. */
  readonly build: (
    console: Console,
    ...args: Parameters<ProcessContext['build']>
  ) => ReturnType<ProcessContext['build']>;
}

export interface FailedService {
  readonly service: string;
  readonly error: WorkerError;
}

export interface RunResult {
  readonly done: readonly ServiceResult[];
  readonly failed: readonly FailedService[];
}

/** All services, some at once; their lines come one service after another. One that fails stops no other. */
export async function runServices(
  services: readonly Service[],
  request: RunRequest,
  context: RunContext,
): Promise<RunResult> {
  const limit = pLimit(context.width);
  const lines = new OrderedLines(context.write);
  const ends = await Promise.all(
    services.map((service) => {
      const { end, write } = lines.writer();
      const console = createConsole({ debug: context.debug, pictures: context.pictures, write });
      return limit(async (): Promise<ServiceResult | FailedService> => {
        try {
          context.signal.throwIfAborted();
          const build: ProcessContext['build'] = (...args) => context.build(console, ...args);
          return await processService(service, request, { ...context, console, build });
        } catch (thrown) {
          context.signal.throwIfAborted();
          const error = toWorkerError(thrown, `service ${service.name}`);
          console.error(`${service.name}: ${error.message}`);
          for (const way of waysOut(error, service)) console.info(way);
          return { service: service.name, error };
        } finally {
          end();
        }
      });
    }),
  );
  return {
    done: ends.filter((each): each is ServiceResult => !('error' in each)),
    failed: ends.filter((each): each is FailedService => 'error' in each),
  };
}

/** What can be done about a failure (docs/services.md, "When something goes wrong"). */
export function waysOut({ code }: WorkerError, service?: Pick<Service, 'contextDir'>): readonly string[] {
  switch (code) {
    case 'CONTEXT_NOT_FOUND':
    case 'DOCKERFILE_NOT_FOUND':
      if (service === undefined) return [];
      return [
        `The sources are expected at ${service.contextDir}; name another place with source or context in clipyard.yaml`,
      ];
    case 'REGISTRY_UNAUTHENTICATED':
    case 'REGISTRY_DENIED':
    case 'GITHUB_TOKEN_INVALID':
      return ['Set GITHUB_TOKEN to a token with write:packages, read:packages and delete:packages'];
    case 'TAG_PERMANENT':
      return ['A version is never pushed twice with other bytes: take the next one with --version'];
    case 'INVENTORY_INCOMPLETE':
    case 'REGISTRY_LIST_INCOMPLETE':
    case 'REGISTRY_THROTTLED':
    case 'REGISTRY_UNAVAILABLE':
      return ['Try again; CLIPYARD_LOG=debug writes every request to the log'];
    default:
      return [];
  }
}

/** The lines above everything. */
export function sayHeader(
  console: Console,
  {
    org,
    repo,
    source,
    version,
  }: { readonly org: string; readonly repo: string; readonly source: string; readonly version: string | undefined },
): void {
  console.say(texts.title());
  console.say(texts.organization(org));
  console.say(texts.repository(repo));
  if (version !== undefined) console.say(texts.version(version));
  console.say(texts.buildingFrom(source));
}

/** The lines below everything. */
export function saySummary(console: Console, { done, failed }: RunResult, { dryRun, version }: RunRequest): void {
  const names = (results: readonly { readonly service: string }[]) => results.map(({ service }) => service).join(', ');
  const skipped = done.filter(
    ({ action, tags }) => action === 'skip' && !tags.some(({ outcome }) => outcome === 'pushed'),
  );
  const succeeded = done.filter((result) => !skipped.includes(result));
  console.say(texts.summary());
  if (succeeded.length > 0) console.say(texts.succeeded(names(succeeded)));
  if (skipped.length > 0) console.say(texts.skipped(names(skipped)));
  if (failed.length > 0) console.say(texts.failed(names(failed)));
  if (dryRun) console.info('Dry run: nothing was built or written');
  else if (failed.length === 0) console.say(texts.allDone());
  const published = done.flatMap(({ reference, tags }) =>
    tags
      .filter(({ outcome }) => outcome === 'pushed')
      .map(({ tag }) =>
        tag === LATEST && version !== undefined
          ? texts.publishedLatest(`${reference}:${tag}`, version)
          : texts.publishedImage(`${reference}:${tag}`),
      ),
  );
  if (published.length === 0) return;
  console.say(texts.published());
  for (const line of published) console.say(line);
  console.say(texts.listHint());
}

/** What the command ends with when services failed: the first one's code, and the names of all. */
export function failureOf({ done, failed }: RunResult): WorkerError | undefined {
  const [first] = failed;
  if (first === undefined) return undefined;
  const { code, details, message } = first.error;
  const all = failed.map(({ service }) => service);
  return new WorkerError(
    code,
    `${failed.length} of ${failed.length + done.length} services failed (${all.join(', ')}); ${first.service}: ${message}`,
    { ...details, services: all },
    { cause: first.error },
  );
}
