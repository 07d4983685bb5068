import type { Cancelable } from '../../errors/index.ts';
import type { ListPage, ListQuery } from '../build-queue.ts';
import { placeOf } from '../place.ts';
import type { BuildRecord } from '../records.ts';
import { recordOf } from './rows.ts';
import type { Store } from './store.ts';

/** Looked at together: filters leave out some. */
const BATCH = 100;

/** A page's token is the place of the last build of the page before. */
export async function listBuilds(
  store: Store,
  workspaceId: string,
  query: ListQuery,
  nowMs: number,
  options: Cancelable,
): Promise<ListPage> {
  const found: { readonly record: BuildRecord; readonly place: number }[] = [];
  let below = placeOf(query.page);
  while (found.length <= query.limit) {
    const rows = await store.do(
      () =>
        store.redis.zrevrangebyscore(
          ...[store.key('builds', workspaceId), `(${below}`, '-inf'],
          ...(['WITHSCORES', 'LIMIT', 0, BATCH] as const),
        ),
      options,
    );
    const ids = rows.filter((_, at) => at % 2 === 0);
    const places = rows.filter((_, at) => at % 2 === 1).map(Number);
    const views = (await store.call('views', { builds: ids }, options)) as unknown[];
    for (const [at, view] of views.entries()) {
      if (view === null) continue;
      const record = recordOf(view, nowMs);
      if (isWanted(record, query)) found.push({ record, place: places[at] ?? 0 });
    }
    if (ids.length < BATCH) break;
    below = places.at(-1) ?? 0;
  }
  const page = found.slice(0, query.limit);
  const last = page.at(-1);
  return {
    records: page.map(({ record }) => record),
    next: found.length > query.limit && last !== undefined ? String(last.place) : undefined,
  };
}

const isWanted = (record: BuildRecord, { states, imageId }: ListQuery): boolean =>
  (states === undefined || states.includes(record.state)) && (imageId === undefined || record.imageId === imageId);
