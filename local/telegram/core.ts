import { type EventEmitter, once } from "node:events";
import type { Store } from "../service/store.ts";

/** What every part of the server works with. */
export interface Core {
  store: Store;
  /** Where the bytes of files are kept. */
  filesFolder: string;
  /** Milliseconds since 1970; passed in so that tests own the time. */
  now(): number;
  /** Emits `entry` after a transcript entry and `update` (with the bot's id) after an update was committed. */
  changes: EventEmitter;
  log(line: string): void;
}

/** Unix seconds, as the Bot API counts. */
export const seconds = (ms: number): number => Math.floor(ms / 1000);

/**
 * Polls `read` after every change until it answers something, the time is up or the caller leaves.
 *
 * @returns undefined when nothing came in time.
 */
export async function waitForChange<Result>(
  core: Core,
  event: "entry" | "update",
  timeoutMs: number,
  abort: AbortSignal,
  read: () => Result | undefined,
): Promise<Result | undefined> {
  const signal = AbortSignal.any([abort, AbortSignal.timeout(timeoutMs)]);
  for (;;) {
    const found = read();
    if (found !== undefined || signal.aborted) return found;
    const changed = await once(core.changes, event, { signal }).then(
      () => true,
      () => false,
    );
    if (!changed) return read();
  }
}
