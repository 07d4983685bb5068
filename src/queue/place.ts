import { WorkerError } from '../errors/index.ts';

/** The place behind which a page of a list begins. Throws USAGE on a token that no list gave. */
export function placeOf(page: string | undefined): number {
  if (page === undefined) return Number.MAX_SAFE_INTEGER;
  if (/^[0-9]{1,15}$/.test(page)) return Number(page);
  throw new WorkerError('USAGE', `${JSON.stringify(page)} is no page of a list`, { page });
}
