import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Package } from '../../../src/release/index.ts';

const root = join(import.meta.dirname, '../../..');

export interface Scanned {
  readonly packages: readonly Package[];
  readonly findings: readonly {
    readonly rule: string;
    readonly severity: string;
    readonly message: string;
    readonly file: string;
    /** A purl. */
    readonly package?: string;
  }[];
  readonly readers: readonly string[];
}

/** What `clipyard scan` says of an image; without syft and trivy where `flags` do not name them. */
export function scan(source: string, flags: readonly string[], env: Readonly<Record<string, string>> = {}): Scanned {
  const never = ['--syft', '--trivy'].flatMap((program) => (flags.includes(program) ? [] : [program, 'never']));
  const output = execFileSync(join(root, 'scripts/clipyard'), ['--json', 'scan', source, ...never, ...flags], {
    env: { ...process.env, ...env },
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(output.toString()) as Scanned;
}
