import { State } from '../../gen/clipyard/v1/build.ts';
import { BUILD_STATES, type BuildState } from '../../queue/index.ts';
import { wrongField } from './fields.ts';

const STATES: Readonly<Record<BuildState, State>> = {
  queued: State.STATE_QUEUED,
  preparing: State.STATE_PREPARING,
  building: State.STATE_BUILDING,
  landing: State.STATE_LANDING,
  packing: State.STATE_PACKING,
  pushing: State.STATE_PUSHING,
  archiving: State.STATE_ARCHIVING,
  publishing: State.STATE_PUBLISHING,
  done: State.STATE_DONE,
  failed: State.STATE_FAILED,
  canceled: State.STATE_CANCELED,
};

export function stateToProto(state: BuildState): State {
  return STATES[state];
}

/** Throws REQUEST_INVALID. */
export function stateFromProto(state: State, field: string): BuildState {
  const found = BUILD_STATES.find((each) => STATES[each] === state);
  if (found === undefined) throw wrongField(field, `${state} is no state of a build`);
  return found;
}
