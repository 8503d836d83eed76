/** `fetch` for calls to the deployment: kept connections, a time limit, and no trust in what has gone silent. */
import { Agent, fetch } from "undici";

/**
 * A path that forgets its connections leaves every kept one half-open: each would take a call and lose it, one after
 * another, until the lease of a running turn is gone. So the first call without an answer retires all connections of
 * its time. Calls under way on them may still end, and the next one opens its own.
 *
 * @param timeoutMs of one call, up to the end of its answer.
 * @returns a function that rejects as `fetch` does, with a `TimeoutError` after the limit.
 */
export function freshFetch(timeoutMs: number): typeof globalThis.fetch {
  let agent = new Agent();
  const retire = (suspect: Agent): void => {
    if (agent !== suspect) return; // Another call of the same time has done so.
    agent = new Agent();
    void suspect.close().catch(() => undefined);
  };
  const call = async (...[input, init]: Parameters<typeof fetch>): Promise<unknown> => {
    const used = agent;
    try {
      const response = await fetch(input, {
        ...init,
        dispatcher: used,
        signal: AbortSignal.timeout(timeoutMs),
      });
      // Read here, so that an answer that stops in the middle counts as none.
      const body = await response.arrayBuffer();
      const { status, statusText, headers } = response;
      return new Response(body.byteLength === 0 ? null : body, { status, statusText, headers: [...headers] });
    } catch (error) {
      retire(used);
      throw error;
    }
  };
  // The package's types and Node's own describe the same functions and are not assignable to each other.
  return call as typeof globalThis.fetch;
}
