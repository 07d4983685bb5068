import { expect, test } from 'vitest';
import { WorkspaceTurns } from '../../../src/worker/workspace-turns.ts';

const { signal } = new AbortController();

test('a workspace whose work never ends holds up itself alone, and all together are bounded', async () => {
  const turns = new WorkspaceTurns({ perWorkspace: 2, atOnce: 5 });
  const stuck = Promise.withResolvers<undefined>();
  let [running, most] = [0, 0];
  const hang = async () => {
    running += 1;
    most = Math.max(most, running);
    await stuck.promise;
    running -= 1;
  };
  const hung = ['a', 'b'].flatMap((name) => Array.from({ length: 50 }, () => turns.run(name, hang, signal)));
  expect(await turns.run('c', () => Promise.resolve('done'), signal)).toBe('done');
  expect(running).toBe(4);
  const late = Array.from({ length: 5 }, (_, at) => turns.run(`d${at}`, hang, signal));
  await new Promise(setImmediate);
  expect(running).toBe(5);
  stuck.resolve(undefined);
  await Promise.all([...hung, ...late]);
  expect(most).toBe(5);
});

test('who is gone before its turn has its work left out, and a failure gives the turn on', async () => {
  const turns = new WorkspaceTurns({ perWorkspace: 1, atOnce: 1 });
  const first = Promise.withResolvers<undefined>();
  const failing = turns.run(
    'a',
    async () => {
      await first.promise;
      throw new RangeError('broken');
    },
    signal,
  );
  const gone = new AbortController();
  let ran = false;
  const waiting = turns.run(
    'a',
    () => {
      ran = true;
      return Promise.resolve();
    },
    gone.signal,
  );
  gone.abort(new TypeError('gone'));
  first.resolve(undefined);
  await expect(failing).rejects.toThrow('broken');
  await expect(waiting).rejects.toThrow('gone');
  expect(ran).toBe(false);
  expect(await turns.run('a', () => Promise.resolve(1), signal)).toBe(1);
});
