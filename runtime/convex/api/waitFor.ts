/**
 * Long polling: a plain request that is answered when there is something to say, at the latest after its patience.
 * It passes every proxy, needs no open stream per person, and a lost answer is asked for again with the same cursor.
 */

/** Between two looks. A look is one indexed read. */
const LOOK_INTERVAL_MS = 400;

export async function waitFor<T>(
  patienceMs: number,
  look: () => Promise<T>,
  isEnough: (found: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const found = await look();
    const leftMs = deadline - Date.now();
    if (isEnough(found) || leftMs <= 0) return found;
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_INTERVAL_MS, leftMs)));
  }
}
