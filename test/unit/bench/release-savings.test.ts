import { expect, test } from 'vitest';
import { releaseSavings } from '../../../src/bench/index.ts';

const contender = (id: string, median: number) => ({
  id,
  title: id,
  seconds: { median, min: median, max: median },
  runs: [],
});

test("R000-26: ten releases of one commit, recomputed with the design's own times: 110 min against 12.5, 88.6 % less", () => {
  const savings = releaseSavings({ contenders: [contender('build', 660), contender('retag', 10)] }, 10);
  expect(savings).toMatchObject({ count: 10, alwaysBuildingSeconds: 110 * 60, retaggingSeconds: 12.5 * 60 });
  expect(savings.savedPercent.toFixed(1)).toBe('88.6');
  expect(savings.savedPercentOfOne).toBeGreaterThan(98);
});

test('R000-26: a benchmark that measured nothing saves nothing', () => {
  expect(releaseSavings({ contenders: [] }, 10)).toMatchObject({ savedPercent: 0, savedPercentOfOne: 0 });
});
