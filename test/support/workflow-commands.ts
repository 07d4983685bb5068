import { parse } from 'yaml';

interface Step {
  readonly run?: string;
}
interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly steps: readonly Step[] }>>;
}

/** Words behind `clipyard`, of each command line in the steps of a workflow. A variable becomes a word; $DRY_RUN is the flag. */
export function commandLinesOf(workflow: string): readonly (readonly string[])[] {
  const { jobs } = parse(workflow) as Workflow;
  const scripts = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
  const lines = scripts.flatMap((script) => script.replaceAll('\\\n', ' ').split('\n'));
  return lines.flatMap((line) => {
    const [, command] = /(?:^|\s)clipyard (.+)$/.exec(line.trim()) ?? [];
    return command === undefined ? [] : [wordsOf(command)];
  });
}

function wordsOf(command: string): readonly string[] {
  const filled = command
    .replaceAll('$DRY_RUN', '--dry-run')
    .replaceAll(/\$\{\{[^}]*\}\}|\$\{[^}]*\}|\$[A-Z_]+/g, 'word');
  return [...filled.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ''));
}
