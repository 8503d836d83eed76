/**
 * Work behind the turns: one piece after another, so that it takes from them no more than that, and bounded: who makes
 * more of it waits while too much is undone.
 */
export interface Backlog {
  add(work: () => Promise<void>): void;
  /** Resolves when few enough pieces are undone, or when `signal` aborts. */
  room(signal: AbortSignal): Promise<void>;
  /** Resolves when everything is done. */
  settled(): Promise<void>;
}

/**
 * @param undoneMax pieces that may wait while there is room for more.
 * @param onError told of a piece that failed; the next one follows.
 */
export function createBacklog(undoneMax: number, onError: (error: unknown) => void): Backlog {
  let last: Promise<void> = Promise.resolve();
  let undone = 0;
  return {
    add: (work) => {
      undone += 1;
      last = last
        .then(work)
        .catch(onError)
        .finally(() => {
          undone -= 1;
        });
    },
    room: async (signal) => {
      if (undone <= undoneMax || signal.aborted) return;
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => aborted.resolve(), { once: true });
      // Everything up to now: simpler than counting, and whoever had to wait is not made to wait again at once.
      await Promise.race([last, aborted.promise]);
    },
    settled: async () => {
      await last;
    },
  };
}
