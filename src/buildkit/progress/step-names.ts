/**
 * BuildKit names a Dockerfile instruction `[2/3] RUN …`, `[stage 2/3] …`, `[linux/amd64 stage 2/3] …`; its own plumbing is
 * `[internal] …` or has no bracket.
 */
const INSTRUCTION = /^\[(?:[^\]]* )?\d+\/\d+\] (?<instruction>.*)$/s;

/** Whether the vertex is an instruction that makes something: `FROM` only names a start and is never counted. */
export function isUserStep(name: string): boolean {
  const instruction = INSTRUCTION.exec(name)?.groups?.['instruction'];
  return instruction !== undefined && !/^FROM\s/i.test(instruction);
}

/** The image that a `FROM` vertex starts from, undefined for every other vertex. */
export function baseReferenceOf(name: string): string | undefined {
  const instruction = INSTRUCTION.exec(name)?.groups?.['instruction'] ?? '';
  return /^FROM\s+(?:--\S+\s+)*(?<reference>\S+)/i.exec(instruction)?.groups?.['reference'];
}
