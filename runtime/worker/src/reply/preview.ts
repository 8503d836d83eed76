/** Shows an answer in the chat while it is being written. The backend sends and edits; here is only the pace. */
import type { LeaseRef } from "../../../convex/validators.ts";
import type { WorkerBackend } from "../backend/backend.ts";

/** Less is not worth a message; it is also what an engine's word for "no answer" would need to show. */
const TEXT_CHARS_MIN = 16;
/** As much as a chat's message can show, and enough for its markup. */
const TEXT_CHARS_MAX = 12_000;
/** Failed calls in a row after which the person waits for the answer instead. */
const FAILURES_MAX = 3;

export interface Preview {
  /** The whole text so far. Cheap: may be called with every token. */
  offer(text: string): void;
  stop(): void;
}

/**
 * Starts showing. At most one call is under way and one begins per interval; the newest text wins. Never throws and
 * never delays the turn: the backend refuses what comes after the answer.
 *
 * @param intervalMs from the bundle; null shows nothing.
 * @param signal ends the preview with the lease.
 */
export function startPreview(
  backend: Pick<WorkerBackend, "preview">,
  lease: LeaseRef,
  intervalMs: number | null,
  signal: AbortSignal,
): Preview {
  if (intervalMs === null) return { offer: () => undefined, stop: () => undefined };
  let newest = "";
  let shown = "";
  let inFlight = false;
  let failures = 0;

  const stop = (): void => {
    clearInterval(timer);
    signal.removeEventListener("abort", stop);
  };
  const show = async (): Promise<void> => {
    if (inFlight || newest === shown || newest.trim().length < TEXT_CHARS_MIN) return;
    inFlight = true;
    const text = newest;
    try {
      const wanted = await backend.preview(lease, text.slice(0, TEXT_CHARS_MAX));
      failures = 0;
      shown = text;
      if (!wanted) stop();
    } catch {
      failures += 1; // A courtesy: the answer comes anyway.
      if (failures >= FAILURES_MAX) stop();
    } finally {
      inFlight = false;
    }
  };
  const timer = setInterval(() => void show(), intervalMs);
  signal.addEventListener("abort", stop, { once: true });
  return {
    offer: (text) => {
      newest = text;
    },
    stop,
  };
}
