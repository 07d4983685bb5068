/** The last argument of every function that waits: abort means stop, clean up, rethrow `signal.reason`. */
export interface Cancelable {
  readonly signal: AbortSignal;
}
