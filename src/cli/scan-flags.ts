import { WorkerError } from '../errors/index.ts';
import {
  type Advisory,
  findProgram,
  parseAdvisories,
  type ScanPrograms,
  SEVERITIES,
  type Severity,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import { readNamedFile } from './tag-context.ts';

/** The flags of every command that scans. */
export interface ScanFlags {
  readonly failOn?: string;
  readonly advisories?: string;
  readonly sarif?: string;
  readonly syft?: string;
  readonly trivy?: string;
}

export interface ScanSettings {
  readonly programs: ScanPrograms;
  readonly advisories: readonly Advisory[];
  /** undefined: no finding is too grave. */
  readonly least: Severity | undefined;
}

/** Throws USAGE, SCAN_TOOL_MISSING, ADVISORIES_INVALID. */
export async function scanSettings(flags: ScanFlags, context: CommandContext): Promise<ScanSettings> {
  const { advisories, failOn, syft, trivy } = flags;
  const { env, settings, signal } = context;
  return {
    least: failOn === undefined ? undefined : severityOf(failOn),
    programs: {
      syft: await findProgram('syft', syft ?? settings.syft, env),
      trivy: await findProgram('trivy', trivy ?? settings.trivy, env),
    },
    advisories: advisories === undefined ? [] : parseAdvisories(await readAdvisories(advisories, signal)),
  };
}

function severityOf(text: string): Severity {
  const severity = SEVERITIES.find((name) => name === text);
  if (severity === undefined)
    throw new WorkerError('USAGE', `--fail-on ${text}: one of ${SEVERITIES.join(', ')} is needed`);
  return severity;
}

async function readAdvisories(source: string, signal: AbortSignal): Promise<string> {
  if (!/^https?:\/\//.test(source)) return await readNamedFile(source, 'the advisories');
  try {
    const response = await fetch(source, { signal });
    if (response.ok) return await response.text();
    throw new WorkerError('ADVISORIES_INVALID', `${source} answers ${response.status}`);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof WorkerError) throw cause;
    throw new WorkerError('ADVISORIES_INVALID', `${source} cannot be fetched`, {}, { cause });
  }
}
