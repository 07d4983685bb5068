import { describe } from 'vitest';
import { describeCancel } from './build-queue/cancel.ts';
import { describeLease } from './build-queue/lease.ts';
import { describeList } from './build-queue/list.ts';
import { type QueuePlace, queueStage } from './build-queue/stage.ts';
import { describeSubmit } from './build-queue/submit.ts';
import { describeTake } from './build-queue/take.ts';
import { describeUpkeep } from './build-queue/upkeep.ts';
import { describeWaiting } from './build-queue/waiting.ts';
import { describeWatch } from './build-queue/watch.ts';

/** What every queue promises. `place` gives an empty one that nobody else uses. */
export function describeBuildQueue(name: string, place: () => Promise<QueuePlace>): void {
  describe(`a build queue (${name})`, () => {
    const stage = queueStage(place);
    describeSubmit(stage);
    describeCancel(stage);
    describeList(stage);
    describeTake(stage);
    describeWaiting(stage);
    describeLease(stage);
    describeWatch(stage);
    describeUpkeep(stage);
  });
}
