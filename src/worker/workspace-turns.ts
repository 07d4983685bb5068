import pLimit, { type LimitFunction } from 'p-limit';

interface Line {
  readonly limit: LimitFunction;
  /** Who has a turn or waits for one. */
  users: number;
}

/** How much goes on at once, of one workspace and of all. */
export interface TurnBounds {
  readonly perWorkspace: number;
  readonly atOnce: number;
}

/** Bounded work for callers: a workspace whose work takes long holds some of the turns, never all of them. */
export class WorkspaceTurns {
  readonly #perWorkspace: number;
  readonly #all: LimitFunction;
  readonly #lines = new Map<string, Line>();

  constructor({ atOnce, perWorkspace }: TurnBounds) {
    this.#perWorkspace = perWorkspace;
    this.#all = pLimit(atOnce);
  }

  /** Throws what the work throws, and the signal's reason when that is aborted before its turn comes. */
  async run<Result>(workspaceId: string, work: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    const line = this.#lines.get(workspaceId) ?? { limit: pLimit(this.#perWorkspace), users: 0 };
    this.#lines.set(workspaceId, line);
    line.users += 1;
    const begin = async () => {
      signal.throwIfAborted();
      return await work();
    };
    try {
      return await line.limit(() => this.#all(begin));
    } finally {
      line.users -= 1;
      if (line.users === 0) this.#lines.delete(workspaceId);
    }
  }
}
