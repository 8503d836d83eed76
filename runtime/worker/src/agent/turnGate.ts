/**
 * Turns run side by side; a change of the engine that they would notice runs alone. A waiting change is not
 * overtaken: new turns queue behind it.
 */
export interface TurnGate {
  shared<T>(work: () => Promise<T>): Promise<T>;
  exclusive<T>(work: () => Promise<T>): Promise<T>;
}

export function createTurnGate(): TurnGate {
  /** Resolves when every exclusive piece of work so far is done. */
  let exclusives: Promise<unknown> = Promise.resolve();
  const running = new Set<Promise<unknown>>();

  const tracked = <T>(work: () => Promise<T>): Promise<T> => {
    const run = work();
    const settled = run.catch(() => undefined).finally(() => running.delete(settled));
    running.add(settled);
    return run;
  };

  return {
    shared: async (work) => {
      // Another change may have queued while this one was awaited.
      for (let seen: unknown; seen !== exclusives;) {
        seen = exclusives;
        await exclusives;
      }
      return await tracked(work);
    },
    exclusive: (work) => {
      const turn = exclusives.then(async () => {
        await Promise.all(running);
        return await work();
      });
      exclusives = turn.catch(() => undefined);
      return turn;
    },
  };
}
