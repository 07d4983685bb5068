import type { CommandContext } from '../context.ts';
import { writeResult } from '../output.ts';
import type { ProgressMode } from '../progress/index.ts';
import { prepareSubmission, type SubmitFlags } from '../submission.ts';
import { workerCalls } from '../worker-client.ts';
import { buildDocument, followBuild } from './follow-build.ts';

export interface SubmitCommandFlags extends Omit<SubmitFlags, 'idempotencyKey'> {
  readonly idempotencyKey?: string;
  readonly wait?: boolean;
  readonly progress: ProgressMode;
}

/** `clipyard submit`. */
export async function submit(flags: SubmitCommandFlags, json: boolean, context: CommandContext): Promise<void> {
  const { signal, stdout } = context;
  using calls = await workerCalls(flags, context);
  // Without a key of its own a submission has one for its retries: it is never queued twice by a broken connection.
  const idempotencyKey = flags.idempotencyKey ?? crypto.randomUUID();
  const request = await prepareSubmission({ ...flags, idempotencyKey }, calls, context);
  const { build, how } = await calls.client.builds.submit(calls.workspaceId, request, { signal });
  if (flags.wait === true) {
    const ended = await followBuild(build.buildId, { after: 0, progress: flags.progress }, calls, json, context);
    writeResult(stdout, { ...buildDocument(ended), how }, json, () => `${build.buildId} ${ended.state}\n`);
    return;
  }
  const document = { ...buildDocument(build), how };
  writeResult(stdout, document, json, () => `${build.buildId} ${how}\nwatch  clipyard watch ${build.buildId}\n`);
}
