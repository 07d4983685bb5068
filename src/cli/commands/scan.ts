import type { Command } from 'commander';
import type { ScanImageFlags } from '../actions/scan.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  clipyard scan team/web                                   # our own readers, and syft and trivy where they are
  clipyard scan team/web --advisories osv.json --fail-on high --sarif findings.sarif
  clipyard scan team/web --syft always --sbom web.spdx.json
  clipyard scan s3://archives/prod/team/web.clip --syft never --trivy /opt/trivy/trivy
`;

/** `scan`. */
export function addScanCommand(program: Command, context: CommandContext): void {
  withScanOptions(program.command('scan <source>'))
    .description(
      'Look at the packages and settings of an image through its archive, without pulling it (docs/matrix.md)',
    )
    .option('--sbom <file>', 'write the SBOM (SPDX 2.3)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .option('--store <url>', 'object store of WORKSPACE/IMAGE (CLIPYARD_STORE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, flags: ScanImageFlags, command: Command) => {
      const { scan } = await import('../actions/scan.ts');
      await scan(source, flags, command.optsWithGlobals<GlobalOptions>().json ?? false, context);
    });
}

/** What a scan looks for and with, of `scan` and `matrix`. */
export function withScanOptions(command: Command): Command {
  return command
    .option('--fail-on <severity>', 'critical, high, medium, low: such a finding, or a graver one, is an error')
    .option('--advisories <source>', 'advisories in the OSV format: a file or an https URL')
    .option('--sarif <file>', 'write the findings as SARIF 2.1.0')
    .option(
      '--syft <choice>',
      'syft looks too: auto (where it is on the PATH), always, never, or its path (CLIPYARD_SYFT)',
    )
    .option('--trivy <choice>', 'trivy looks too: auto, always, never, or its path (CLIPYARD_TRIVY)');
}
