import { join } from 'node:path';
import { openSqliteQueue } from '../../../src/queue/index.ts';
import { describeBuildQueue } from '../../conformance/build-queue.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

describeBuildQueue('sqlite', async () => {
  const directory = await temporaryDirectory('queue');
  return {
    open: (settings) => Promise.resolve(openSqliteQueue(join(directory.path, 'queue.db'), settings)),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});
