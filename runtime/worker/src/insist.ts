import { pause } from "./pause.ts";

const FIRST_DELAY_MS = 250;
/** Short, since a person waits: whatever has come back is asked at most this much later. */
const DELAY_MAX_MS = 2_000;

/**
 * Repeats a call that may be made twice, later and later, while its error may pass.
 *
 * @param signal ends the repetition; with `attemptsMax` absent it alone bounds it.
 * @throws the last error.
 */
export async function insist<T>(
  call: () => Promise<T>,
  options: { mayPass: (error: unknown) => boolean; signal: AbortSignal; attemptsMax?: number },
): Promise<T> {
  const { mayPass, signal, attemptsMax = Number.POSITIVE_INFINITY } = options;
  let delayMs = FIRST_DELAY_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || attempt >= attemptsMax || !mayPass(error)) throw error;
      await pause(delayMs, signal);
      if (signal.aborted) throw error;
      delayMs = Math.min(delayMs * 2, DELAY_MAX_MS);
    }
  }
}
