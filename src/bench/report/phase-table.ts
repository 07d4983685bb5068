import type { BenchDocument, ContenderResult } from './document.ts';

export interface PhaseRow {
  readonly phase: string;
  readonly beforeSeconds: number | undefined;
  readonly afterSeconds: number | undefined;
  /** 100 × (1 - after / before); undefined where the phase is not in both, or too short to compare. */
  readonly savedPercent: number | undefined;
}

const LEAST_SECONDS = 0.1;
const PHASES = ['build', 'push', 'index', 'upload'] as const;

/** Build, push, index, upload and the whole, of a flow before and of ours. Ours overlap: the whole is less than their sum. */
export function phaseTable({ contenders }: BenchDocument, before: string, after: string): readonly PhaseRow[] {
  const of = (id: string) => contenders.find((contender) => contender.id === id);
  const [old, ours] = [of(before), of(after)];
  if (old?.seconds === undefined || ours?.seconds === undefined) return [];
  return [
    ...PHASES.map((phase) => row(phase, secondsOf(old, phase), secondsOf(ours, phase))),
    row('total', old.seconds.median, ours.seconds.median),
  ];
}

function secondsOf({ phases }: ContenderResult, phase: (typeof PHASES)[number]): number | undefined {
  return phases?.[phase];
}

function row(phase: string, beforeSeconds: number | undefined, afterSeconds: number | undefined): PhaseRow {
  const both = beforeSeconds !== undefined && beforeSeconds >= LEAST_SECONDS && afterSeconds !== undefined;
  return {
    phase,
    beforeSeconds,
    afterSeconds,
    savedPercent: both ? 100 * (1 - afterSeconds / beforeSeconds) : undefined,
  };
}
