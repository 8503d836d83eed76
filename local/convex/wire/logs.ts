import type { Completion } from "../runtime/protocol.ts";
import type { RuntimeThread } from "../runtimeThread.ts";
import type { Exchange } from "./exchange.ts";

const MAX_ENTRIES = 1_000;
/** How long a poll waits for something to report. */
const POLL_MS = 10_000;

const NO_USAGE = {
  databaseReadBytes: 0,
  databaseWriteBytes: 0,
  databaseIoReadBytes: 0,
  databaseIoWriteBytes: 0,
  databaseReadDocuments: 0,
  databaseWriteDocuments: 0,
  databaseWriteIndexRows: 0,
  storageReadBytes: 0,
  storageWriteBytes: 0,
  vectorIndexReadBytes: 0,
  vectorIndexWriteBytes: 0,
  textIndexQueryBytes: 0,
  textIndexWriteQueryBytes: 0,
  vectorIndexReadQueryBytes: 0,
  vectorIndexWriteQueryBytes: 0,
  networkEgressBytes: 0,
  memoryUsedMb: 0,
};

/** The latest finished calls, for `convex logs`. */
export class LogStream {
  readonly #entries: { readonly cursor: number; readonly completion: Completion }[] = [];
  readonly #waiting = new Set<() => void>();
  #lastCursor = 0;

  constructor(runtime: RuntimeThread) {
    runtime.on("completion", (completion) => this.#add(completion));
  }

  #add(completion: Completion): void {
    // The cursor is a time in milliseconds that never repeats.
    this.#lastCursor = Math.max(completion.timestamp * 1000, this.#lastCursor + 0.001);
    this.#entries.push({ cursor: this.#lastCursor, completion });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
    for (const wake of this.#waiting) wake();
  }

  /** GET /api/stream_function_logs?cursor=N: what finished after the cursor, waiting a while for something. */
  async serve(exchange: Exchange): Promise<void> {
    const cursor = Number(exchange.url.searchParams.get("cursor") ?? 0);
    if (cursor > 0 && this.#lastCursor <= cursor) await this.#wait(exchange);
    const entries = this.#entries
      .filter((entry) => entry.cursor > cursor)
      .map(({ completion }) => wireEntry(completion));
    exchange.sendJson({ entries, newCursor: Math.max(cursor, this.#lastCursor, 1) });
  }

  async #wait(exchange: Exchange): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, POLL_MS);
      const waiting = this.#waiting;
      function done(): void {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      }
      waiting.add(done);
      exchange.response.once("close", done);
    });
  }
}

function wireEntry(completion: Completion): unknown {
  return {
    kind: "Completion",
    udfType: completion.udfType,
    componentPath: null,
    identifier: completion.path,
    logLines: completion.logs,
    timestamp: completion.timestamp,
    cachedResult: false,
    caller: completion.caller,
    parentExecutionId: null,
    executionTime: completion.executionTime,
    success: completion.error === null ? null : undefined,
    error: completion.error,
    requestId: completion.requestId,
    executionId: completion.requestId,
    usageStats: NO_USAGE,
    returnBytes: null,
    occInfo: null,
    willRetry: false,
    executionTimestamp: completion.timestamp - completion.executionTime,
    identityType: "unknown",
    environment: "isolate",
  };
}
