/**
 * The time limit of a call to the outside. Convex's own runtime promises neither `AbortSignal.timeout` nor a fetch that
 * heeds a signal, so that the wait is ended by a timer of ours; the signal is a wish, for runtimes that grant it.
 */

/** The limit has passed. What was asked may still be carried out: unknown, never failed. */
export class DeadlineError extends Error {
  override name = "TimeoutError";

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

/** Waits for `talk` for at most `timeoutMs`, body included. @throws DeadlineError, and what `talk` throws in time. */
export async function withinDeadline<T>(
  timeoutMs: number,
  talk: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const aborter = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlineError(timeoutMs));
      aborter.abort();
    }, timeoutMs);
  });
  try {
    return await Promise.race([talk(aborter.signal), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
