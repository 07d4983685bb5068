import { isDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { wholeName } from './image-name.ts';
import type { WorkerPolicy } from './worker-policy.ts';

/** The argument by which a build names a frontend over the Dockerfile's head. */
const SYNTAX_ARGUMENT = 'BUILDKIT_SYNTAX';
const BYTE_ORDER_MARK = '\ufeff';

/**
 * The frontend image that a Dockerfile asks for: by the build argument, else in its head as `# syntax=`, `// syntax=` or a JSON
 * document (BuildKit frontend/dockerfile/parser, DetectSyntax). undefined: the daemon's own.
 */
export function askedFrontend(dockerfile: string, buildArgs: Readonly<Record<string, string>>): string | undefined {
  const asked = buildArgs[SYNTAX_ARGUMENT];
  const [image] = (asked ?? frontendOfHead(dockerfile) ?? '').trim().split(/\s+/);
  return image === '' ? undefined : image;
}

function frontendOfHead(dockerfile: string): string | undefined {
  const lines = dockerfile.replace(BYTE_ORDER_MARK, '').split('\n');
  if (lines[0]?.startsWith('#!') === true) lines.shift();
  return directive(lines, '#') ?? directive(lines, '//') ?? jsonDirective(lines.join('\n'));
}

/** Directives stand before anything else, one a line. */
function directive(lines: readonly string[], mark: string): string | undefined {
  for (const line of lines) {
    const text = line.trim();
    if (!text.startsWith(mark)) return undefined;
    const [, name, value] = /^\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$/.exec(text.slice(mark.length)) ?? [];
    if (name === undefined) return undefined;
    if (name.toLowerCase() === 'syntax') return value;
  }
  return undefined;
}

function jsonDirective(text: string): string | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  const [, value] = /"syntax"\s*:\s*"([^"]*)"/i.exec(text) ?? [];
  return value;
}

/**
 * What reads the Dockerfile: the daemon's own frontend, or one whose digest the worker allows, named by it. `pinned` has the
 * digests of tags. Throws FRONTEND_DENIED.
 */
export function frontendOf(
  asked: string | undefined,
  pinned: Readonly<Record<string, string>>,
  policy: WorkerPolicy,
): 'own' | { readonly image: string } {
  if (asked === undefined) return 'own';
  const [name = '', written] = asked.split('@');
  const digest = written ?? pinned[wholeName(asked)];
  if (digest !== undefined && isDigest(digest) && policy.frontends.includes(digest))
    return { image: `${name}@${digest}` };
  throw new WorkerError(
    'FRONTEND_DENIED',
    `the Dockerfile asks for the frontend ${asked.slice(0, 200)}, which the worker does not allow; leave the syntax line out`,
    { frontend: asked.slice(0, 200), ...(digest !== undefined && { digest }) },
  );
}

/** Build arguments without the one that names a frontend: that was decided. */
export function argumentsOf(buildArgs: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(buildArgs).filter(([name]) => name !== SYNTAX_ARGUMENT));
}
