/**
 * Stride scheduling (Waldspurger and Weihl, 1995): a workspace's pass moves on by its stride with every turn, and the lowest
 * pass is next. The virtual time is the pass of the latest turn: who was idle continues from there, without credit for the past.
 */
export interface Turn {
  readonly workspaceId: string;
  readonly pass: number;
}

/** Divisible by the small weights that people use; passes stay safe integers for 2^33 turns. */
const STRIDE_AT_WEIGHT_ONE = 1_000_000;

/** A weight that is not above 0 counts as the smallest there is. */
export function strideOf(workspaceId: string, weights: ReadonlyMap<string, number>): number {
  const weight = weights.get(workspaceId) ?? 1;
  const stride = Math.round(STRIDE_AT_WEIGHT_ONE / Math.max(weight, 1e-6));
  return Math.max(stride, 1);
}

export const passAt = (pass: number | undefined, virtualTime: number): number => Math.max(pass ?? 0, virtualTime);

/** The workspaces in the order in which they are next. */
export function inTurn(turns: readonly Turn[], virtualTime: number): readonly Turn[] {
  return turns.map((turn) => ({ ...turn, pass: passAt(turn.pass, virtualTime) })).toSorted(compareTurns);
}

const compareTurns = (a: Turn, b: Turn): number => a.pass - b.pass || (a.workspaceId < b.workspaceId ? -1 : 1);

/** Jobs of other workspaces that go before the `ahead + 1`th of `mine`, when `others` have so many jobs waiting. */
export function turnsBefore(
  mine: Turn,
  ahead: number,
  others: readonly (Turn & { readonly waiting: number })[],
  weights: ReadonlyMap<string, number>,
): number {
  const myPass = mine.pass + ahead * strideOf(mine.workspaceId, weights);
  let before = 0;
  for (const { workspaceId, pass, waiting } of others) {
    const stride = strideOf(workspaceId, weights);
    const strictly = Math.ceil((myPass - pass) / stride);
    const meets = myPass >= pass && (myPass - pass) % stride === 0 && workspaceId < mine.workspaceId;
    before += Math.min(waiting, Math.max(0, strictly + (meets ? 1 : 0)));
  }
  return before;
}
