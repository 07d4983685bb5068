import { z } from 'zod';
import { inWords } from '../../config/index.ts';
import { WorkerError } from '../../errors/index.ts';

/** What a calculation knows of the event. Everything can be given in one file, so that a result can be made again. */
export interface TagContext {
  /** `push`, `pull_request`, `schedule`, …; empty when unknown. */
  readonly event: string;
  /** `refs/heads/…`, `refs/tags/…`, `refs/pull/N/merge`. */
  readonly ref: string;
  readonly sha: string;
  /** The branch that a pushed git tag came from. */
  readonly baseRef: string;
  readonly defaultBranch: string;
  readonly pullRequest: { readonly number: string; readonly base: string; readonly headSha: string } | undefined;
  readonly commitDate: Date | undefined;
  readonly repository: {
    readonly name: string;
    readonly description: string;
    readonly url: string;
    readonly license: string;
  };
  readonly clock: Date;
}

const text = z.string().nullish();
const moment = z
  .string()
  .refine((value) => !Number.isNaN(Date.parse(value)), 'is no date of ISO 8601')
  .nullish();

const contextFile = z.strictObject({
  event: text,
  ref: text,
  sha: text,
  base_ref: text,
  default_branch: text,
  pr: z.strictObject({ number: z.union([z.int(), z.string()]).nullish(), base: text, head_sha: text }).nullish(),
  commit_date: moment,
  repo: z.strictObject({ name: text, description: text, url: text, license: text }).nullish(),
  clock: moment,
});

/** Reads a context file. `now` where it names no clock. Throws TAG_CONTEXT_INVALID. */
export function parseTagContext(document: string, now: Date): TagContext {
  const parsed = contextFile.safeParse(parseJson(document, 'the context'), { error: inWords });
  if (!parsed.success) throw invalid(`the context${placed(parsed.error)}`);
  const { base_ref, clock, commit_date, default_branch, event, pr, ref, repo, sha } = parsed.data;
  return {
    event: event ?? '',
    ref: ref ?? '',
    sha: sha ?? '',
    baseRef: base_ref ?? '',
    defaultBranch: default_branch ?? '',
    pullRequest:
      pr === undefined || pr === null
        ? undefined
        : { number: String(pr.number ?? ''), base: pr.base ?? '', headSha: pr.head_sha ?? '' },
    commitDate: commit_date === undefined || commit_date === null ? undefined : new Date(commit_date),
    repository: {
      name: repo?.name ?? '',
      description: repo?.description ?? '',
      url: repo?.url ?? '',
      license: repo?.license ?? '',
    },
    clock: clock === undefined || clock === null ? now : new Date(clock),
  };
}

const payloadShape = z.object({
  base_ref: text,
  repository: z
    .object({
      name: text,
      description: text,
      html_url: text,
      default_branch: text,
      license: z.object({ spdx_id: text }).nullish(),
    })
    .nullish(),
  pull_request: z
    .object({
      number: z.int(),
      base: z.object({ ref: text }).nullish(),
      head: z.object({ sha: text }).nullish(),
    })
    .nullish(),
  head_commit: z.object({ timestamp: moment }).nullish(),
});

/** The context of a GitHub Actions job: its environment and the event's payload (the file at GITHUB_EVENT_PATH). */
export function githubTagContext(
  env: Readonly<Record<string, string | undefined>>,
  payload: string | undefined,
  now: Date,
): TagContext {
  if (env['GITHUB_REF'] === undefined)
    throw invalid('GITHUB_REF is not set: give --context FILE outside of GitHub Actions');
  const document = payload === undefined ? {} : parseJson(payload, "the event's payload");
  const parsed = payloadShape.safeParse(document, { error: inWords });
  if (!parsed.success) throw invalid(`the event's payload${placed(parsed.error)}`);
  const { base_ref, head_commit, pull_request, repository } = parsed.data;
  const [, name = ''] = (env['GITHUB_REPOSITORY'] ?? '').split('/');
  const timestamp = head_commit?.timestamp;
  return {
    event: env['GITHUB_EVENT_NAME'] ?? '',
    ref: env['GITHUB_REF'],
    sha: env['GITHUB_SHA'] ?? '',
    baseRef: (base_ref ?? '').replace(/^refs\/heads\//, ''),
    defaultBranch: repository?.default_branch ?? '',
    pullRequest:
      pull_request === undefined || pull_request === null
        ? undefined
        : {
            number: String(pull_request.number),
            base: pull_request.base?.ref ?? '',
            headSha: pull_request.head?.sha ?? '',
          },
    commitDate: timestamp === undefined || timestamp === null ? undefined : new Date(timestamp),
    repository: {
      name: repository?.name ?? name,
      description: repository?.description ?? '',
      url: repository?.html_url ?? '',
      license: repository?.license?.spdx_id ?? '',
    },
    clock: now,
  };
}

/**
 * The context that rules see. `pull_request_target` names the base branch and would tag as that branch: it counts as the
 * pull request's merge. `prHeadSha` takes the pull request's own commit instead of the merge commit.
 */
export function effectiveContext(context: TagContext, { prHeadSha }: { readonly prHeadSha: boolean }): TagContext {
  const { event, pullRequest } = context;
  if (event !== 'pull_request' && event !== 'pull_request_target') return context;
  const target = event === 'pull_request_target' && pullRequest !== undefined && pullRequest.number !== '';
  const head = prHeadSha ? (pullRequest?.headSha ?? '') : '';
  return {
    ...context,
    ref: target ? `refs/pull/${pullRequest.number}/merge` : context.ref,
    sha: head === '' ? context.sha : head,
  };
}

/** What is wrong behind the name of the document. */
function placed({ issues: [issue] }: z.ZodError): string {
  const where = issue?.path.join('.') ?? '';
  return `${where === '' ? '' : `'s ${where}`}: ${issue?.message ?? 'wrong'}`;
}

function parseJson(document: string, what: string): unknown {
  if (document.trim() === '')
    throw invalid(`${what} is empty: write for example {"event": "push", "ref": "refs/tags/v1.2.3"}`);
  try {
    return JSON.parse(document);
  } catch (cause) {
    throw invalid(`${what} is no JSON`, cause);
  }
}

function invalid(message: string, cause?: unknown): WorkerError {
  return new WorkerError('TAG_CONTEXT_INVALID', message, {}, { cause });
}
