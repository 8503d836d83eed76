/**
 * Long polling: a plain request that is answered when there is something to say, at the latest after its patience.
 * It passes every proxy, needs no open stream per person, and a lost answer is asked for again with the same cursor.
 */

/**
 * Between two looks: a fifth of what was waited already, within these bounds. A look is one function call, and every
 * open page of a chat waits all day; whoever waited ten seconds for an answer does not notice one more.
 */
const LOOK_INTERVAL_MS = { least: 400, most: 2_000 };

export async function waitFor<T>(
  patienceMs: number,
  look: () => Promise<T>,
  isEnough: (found: T) => boolean,
): Promise<T> {
  const startedAt = Date.now();
  for (;;) {
    const found = await look();
    const waitedMs = Date.now() - startedAt;
    if (isEnough(found) || waitedMs >= patienceMs) return found;
    const { least, most } = LOOK_INTERVAL_MS;
    const pauseMs = Math.min(Math.max(waitedMs / 5, least), most, patienceMs - waitedMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
