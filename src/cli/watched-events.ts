import type { BuildEvent } from '../buildkit/index.ts';
import type { UntimedJobEvent } from '../jobs/index.ts';
import type { Json, StoredEvent } from '../queue/index.ts';

type Fields = Readonly<Record<string, Json>>;

/** Turns the events of a build elsewhere back into those that a build here tells, for the same renderers. */
export class WatchedEvents {
  readonly #startedAtMs = new Map<number, number>();

  of({ kind, phase, timeMs, what }: StoredEvent): readonly UntimedJobEvent[] {
    const fields = fieldsOf(what);
    switch (kind) {
      case 'state':
        return phase === 'queued' || phase === 'done' || phase === 'failed' || phase === 'canceled'
          ? []
          : [{ type: 'phase', phase, state: 'started' }];
      case 'step':
        return [{ type: 'buildkit', event: this.#step(fields) }];
      case 'log':
        return this.#lines(fields, timeMs).map((event) => ({ type: 'buildkit', event }));
      case 'detail':
        return detailOf(fields);
      case 'failure':
        return []; // told by the command when it ends
    }
  }

  #step(fields: Fields): BuildEvent {
    const step = Number(fields['id']);
    const name = textOf(fields['name']);
    const isUserStep = !name.startsWith('[internal]');
    const startedAtMs = Number(fields['startedAtMs'] ?? 0);
    if (fields['completedAtMs'] === undefined) {
      this.#startedAtMs.set(step, startedAtMs);
      return { type: 'step-started', step, name, isUserStep };
    }
    const error = fields['error'] === undefined ? undefined : textOf(fields['error']);
    const outcome = fields['cached'] === true ? 'cached' : error === undefined ? 'done' : 'failed';
    const durationMs = Number(fields['completedAtMs']) - startedAtMs;
    return { type: 'step-ended', step, name, isUserStep, outcome, durationMs, error };
  }

  #lines(fields: Fields, timeMs: number): readonly BuildEvent[] {
    const step = Number(fields['stepId']);
    const atMs = Math.max(0, timeMs - (this.#startedAtMs.get(step) ?? timeMs));
    const stream = fields['stream'] === 2 ? 'stderr' : 'stdout';
    const lines = textOf(fields['data']).replace(/\n$/, '').split('\n');
    return lines.map((text) => ({ type: 'log', step, stream, text, atMs }));
  }
}

/** A detail is what `clipyard build --json` prints; `event` is its type. */
function detailOf(fields: Fields): readonly UntimedJobEvent[] {
  const { event: type, ...rest } = fields;
  if (type === 'buildkit') return [{ type, event: rest['buildkit'] as unknown as BuildEvent }];
  // States of the build say the phases already.
  const drawn = ['layer', 'packing', 'pushing', 'pushed', 'archive', 'published'];
  return drawn.includes(textOf(type)) ? [{ type, ...rest } as unknown as UntimedJobEvent] : [];
}

function fieldsOf(what: Json): Fields {
  return typeof what === 'object' && what !== null && !Array.isArray(what) ? (what as Fields) : {};
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}
