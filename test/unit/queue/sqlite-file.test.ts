import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { openQueue, openSqliteQueue } from '../../../src/queue/index.ts';
import { Clock, queueSettings, submission } from '../../support/queue/submissions.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const options = { signal: new AbortController().signal };
const settings = queueSettings(new Clock());

test('an address names a file, whose folder is made', async () => {
  await using directory = await temporaryDirectory('queue');
  const file = join(directory.path, 'a/b/queue.db');
  await using queue = await openQueue(`sqlite:${file}`, settings);
  expect(queue.name).toBe(`sqlite:${file}`);
  expect((await queue.submit(submission('a'), options)).how).toBe('queued');
});

test.for(['', 'sqlite:', 'file.db', 'http://host'])('%j is no address of a queue', async (address) => {
  await expect(openQueue(address, settings)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('a file of something else, of another version, or cut off is refused and stays as it is', async () => {
  await using directory = await temporaryDirectory('queue');
  const file = (name: string) => join(directory.path, name);
  const corrupt = (name: string) => {
    expect(() => openSqliteQueue(file(name), settings)).toThrow(expect.objectContaining({ code: 'QUEUE_CORRUPT' }));
  };
  const other = new DatabaseSync(file('other.db'));
  other.exec('CREATE TABLE things (a)');
  other.close();
  corrupt('other.db');
  await openSqliteQueue(file('newer.db'), settings)[Symbol.asyncDispose]();
  const newer = new DatabaseSync(file('newer.db'));
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  corrupt('newer.db');
  await writeFile(file('text.db'), 'this is no database, '.repeat(100));
  corrupt('text.db');
});

test('a record that is no JSON is named', async () => {
  await using directory = await temporaryDirectory('queue');
  const file = join(directory.path, 'queue.db');
  await using queue = openSqliteQueue(file, settings);
  const { record } = await queue.submit(submission('a'), options);
  const db = new DatabaseSync(file);
  db.exec(`UPDATE jobs SET failure = '{"code'`);
  db.close();
  const got = queue.get('a', record.buildId, options);
  await expect(got).rejects.toMatchObject({ code: 'QUEUE_CORRUPT' });
  await expect(got).rejects.toThrow(record.jobId);
});

test('a place that cannot be opened is said so', () => {
  const opening = () => openSqliteQueue('/proc/none/queue.db', settings);
  expect(opening).toThrow(expect.objectContaining({ code: 'QUEUE_UNAVAILABLE' }));
});
