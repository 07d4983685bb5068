import {
  parseRetentionPolicy,
  type RetentionBehind,
  type RetentionPolicy,
  type RetentionResult,
  retentionBehind,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import { packagesApiOf } from './packages-api.ts';
import { type RetentionPlace, retentionContext, retentionLine } from './retention-context.ts';
import { readNamedFile } from './tag-context.ts';

/** `--retention`, else what the file of the command says, else CLIPYARD_RETENTION: fields, the path of a file, or `none`. */
export async function retentionPolicy(
  flag: string | undefined,
  ofFile: RetentionPolicy | undefined,
  { settings }: Pick<CommandContext, 'settings'>,
): Promise<RetentionPolicy | undefined> {
  const text = flag ?? (ofFile === undefined ? settings.retention : undefined);
  if (text === undefined) return ofFile;
  if (text === 'none') return undefined;
  return parseRetentionPolicy(text.includes('=') ? text : await readNamedFile(text, 'the retention policy'));
}

/** Asked before the release: what could be known then must not come to light behind it. Throws USAGE, CONFIG_INVALID. */
export async function plannedRetention(
  flag: string | undefined,
  ofFile: RetentionPolicy | undefined,
  place: RetentionPlace,
  context: CommandContext,
): Promise<RetentionPolicy | undefined> {
  const policy = await retentionPolicy(flag, ofFile, context);
  if (policy !== undefined) packagesApiOf(place.repository.registry, place.packagesApi, context);
  return policy;
}

/** Runs it where one is configured, and says on stderr how it goes. Never throws: the release stands. */
export async function runRetentionBehind(
  policy: RetentionPolicy | undefined,
  place: RetentionPlace,
  json: boolean,
  context: CommandContext,
): Promise<RetentionBehind | undefined> {
  if (policy === undefined) return undefined;
  const { stderr } = context;
  await using stack = new AsyncDisposableStack();
  const behind = await retentionBehind(policy, () =>
    Promise.resolve(
      retentionContext(
        place,
        (event) => {
          const line = json ? `${JSON.stringify({ event })}\n` : retentionLine(event);
          if (line !== '') stderr.write(json ? line : `retention: ${line}`);
        },
        context,
        stack,
      ),
    ),
  );
  if ('failure' in behind && !json)
    stderr.write(
      `retention: ${behind.failure.code}: ${behind.failure.message}\nretention: failed, the release stands\n`,
    );
  return behind;
}

/** As a part of the release's own document: null where none is configured. */
export function documentOfBehind(behind: RetentionBehind | undefined): object | null {
  if (behind === undefined) return null;
  if ('result' in behind) return retentionDocument(behind.result);
  const { code, details, message } = behind.failure;
  return { error: { code, message, details } };
}

export function retentionDocument({ absent, deleted, dryRun, plan, repository, skipped }: RetentionResult): object {
  return { repository, dryRun, ...plan, deleted: deleted.length, absent: absent.length, skipped };
}

/** A line under the release's table. */
export function textOfBehind(behind: RetentionBehind | undefined): string {
  if (behind === undefined) return '';
  if ('failure' in behind) return `retention failed (${behind.failure.code}), the release stands\n`;
  const { absent, deleted, plan, skipped } = behind.result;
  const others = `${absent.length} were gone, ${skipped.length} skipped, ${plan.keeps.length} manifests stay`;
  return `retention deleted ${deleted.length}, ${others}\n`;
}
