import { type Command, Option } from 'commander';
import type { TagsFlags } from '../actions/tags.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  # in a GitHub Actions job
  clipyard tags --image ghcr.io/owner/app --preset tags-only --output github
  # anywhere, from a file that says what happened; why each rule gave its tag
  clipyard tags --context event.json --image registry.example/app --explain \\
    --rule 'type=semver,pattern={{version}}' --rule 'type=semver,pattern={{major}}.{{minor}}' --rule type=sha
  echo '{"event":"push","ref":"refs/tags/v1.2.3"}' | clipyard --json tags --context - --preset tags-only
`;

export function addTagsCommand(program: Command, context: CommandContext): void {
  program
    .command('tags')
    .description('Calculate tags, labels and annotations from an event and rules (docs/tags.md); asks no network')
    .option('--context <file>', 'JSON of the event, - for standard input (default: the GitHub environment)')
    .option('--image <name>', 'image name, or name=…,enable=…', collect, [])
    .option('--rule <rule>', 'type=…,… ; without any: schedule, branch, git tag, pull request', collect, [])
    .option('--flavor <flavor>', 'latest=auto|true|false, prefix=…[,onlatest=true], suffix=…', collect, [])
    .option('--label <key=value>', 'label of the image', collect, [])
    .option('--annotation <key=value>', 'annotation of the image', collect, [])
    .addOption(
      new Option('--preset <name>', 'ready-made rules; further rules are added').choices([
        'release',
        'main-and-tags',
        'tags-only',
        'every-commit',
      ]),
    )
    .option('--short-sha-length <n>', 'characters of a short commit', '7')
    .option('--pr-head-sha', "on pull requests take the branch's own commit, not the merge's")
    .option('--now <time>', 'ISO 8601: the clock, where the context names none')
    .option('--explain', 'say which rule gave each tag, and why the others gave none')
    .addOption(new Option('--output <where>', 'github: also write to GITHUB_OUTPUT').choices(['github']))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: TagsFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { tags } = await import('../actions/tags.ts');
      await tags(flags, json, context);
    });
}
