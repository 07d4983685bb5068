/** A build's states in the order it goes through them; the last three are its ends (docs/architecture.md, "A build, step by step"). */
export const BUILD_STATES = [
  'queued',
  'preparing',
  'building',
  'landing',
  'packing',
  'pushing',
  'archiving',
  'publishing',
  'done',
  'failed',
  'canceled',
] as const;

export type BuildState = (typeof BUILD_STATES)[number];
export type EndState = Extract<BuildState, 'done' | 'failed' | 'canceled'>;

export function isEnd(state: BuildState): state is EndState {
  return state === 'done' || state === 'failed' || state === 'canceled';
}
