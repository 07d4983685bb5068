import type { Link, Simulation } from './simulate.ts';
import type { Tier, Trace } from './trace-file.ts';

/** What to change, and the numbers it follows from. */
export interface Advice {
  readonly rule: 'profile' | 'layer-not-lazy' | 'many-layers' | 'scattered' | 'python-sources' | 'chunk-size';
  readonly text: string;
}

export interface TimelineRow {
  readonly atUs: number;
  readonly waitUs: number;
  readonly tier: Tier;
  readonly layer: number;
  readonly offset: number;
  readonly length: number;
  /** Where the archive was given. */
  readonly path?: string;
  /** Stored bytes of the chunks it touched first; where the archive was given. */
  readonly storedBytes?: number;
}

export interface FileCost {
  readonly path: string;
  readonly touches: number;
  readonly waitUs: number;
  readonly storedBytes: number;
}

export interface LayerCost {
  readonly digest: string;
  readonly mode: string;
  readonly reason?: string;
  readonly touches: number;
  readonly chunks: number;
  readonly touchedChunks: number;
  readonly waitUs: number;
}

export interface WhatIf {
  readonly name: string;
  readonly simulation: Simulation;
}

export interface Explanation {
  readonly v: 1;
  readonly source: string;
  readonly entry: string;
  readonly startedAt: string;
  readonly engine: string;
  readonly totals: Trace['totals'];
  readonly touches: number;
  /** Sum of all waits; those of several threads overlap. */
  readonly waitUs: number;
  /** Until the last touch had its bytes. */
  readonly endUs: number;
  /** Fetched by wanted bytes; fetched ones are compressed. */
  readonly amplification?: number;
  readonly tiers: readonly { readonly tier: Tier; readonly touches: number; readonly waitUs: number }[];
  readonly layers: readonly LayerCost[];
  /** The costliest first. */
  readonly files: readonly FileCost[];
  readonly timeline: readonly TimelineRow[];
  /** What the same start would have cost; only with the archive. */
  readonly link?: Link;
  readonly whatIf: readonly WhatIf[];
  readonly advice: readonly Advice[];
}
