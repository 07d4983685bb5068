import { join } from 'node:path';
import { test } from 'vitest';
import { openSqliteQueue } from '../../../src/queue/index.ts';
import { playAgainstModel } from '../../support/queue/model.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('any order of submit, cancel, take, end, retry, hand back and loss leaves what a simple model has', async () => {
  await using directory = await temporaryDirectory('queue-model');
  let files = 0;
  const open = (settings: Parameters<typeof openSqliteQueue>[1]) => {
    files += 1;
    return Promise.resolve(openSqliteQueue(join(directory.path, `${files}.db`), settings));
  };
  await playAgainstModel(open, { runs: 40 });
}, 60_000);
