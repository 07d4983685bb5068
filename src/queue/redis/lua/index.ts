import { CANCEL, EVENTS, EXPIRE, FORGET, VIEWS } from './builds.ts';
import { LOOK, RELEASE, TELL } from './claim.ts';
import { DEPTH, OPEN, OVERDUE } from './depth.ts';
import { PRELUDE } from './prelude.ts';
import { SUBMIT } from './submit.ts';
import { POSITION, TAKE } from './take.ts';

const BODIES = {
  submit: SUBMIT,
  take: TAKE,
  position: POSITION,
  look: LOOK,
  tell: TELL,
  release: RELEASE,
  views: VIEWS,
  cancel: CANCEL,
  events: EVENTS,
  expire: EXPIRE,
  forget: FORGET,
  depth: DEPTH,
  overdue: OVERDUE,
  open: OPEN,
} as const;

export type ScriptName = keyof typeof BODIES;

export const scriptOf = (name: ScriptName): string => `${PRELUDE}\n${BODIES[name]}`;
