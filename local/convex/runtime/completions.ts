import type { Invocation, Outcome } from "./executor.ts";
import { normalisePath } from "./generation.ts";
import type { CallMetrics, Completion, FunctionTotals } from "./protocol.ts";

const now = Date.now.bind(Date);
/** Functions for which totals are kept; more would mean names taken from user input. */
const MAX_TOTALS = 2_000;

/** Tells the host about finished calls and adds up what each function used. */
export class Completions {
  readonly #send: (completion: Completion) => void;
  readonly totals: Record<string, FunctionTotals> = {};

  constructor(send: (completion: Completion) => void) {
    this.#send = send;
  }

  report(
    udfType: Completion["udfType"],
    invocation: Pick<Invocation, "path" | "caller" | "request">,
    outcome: Pick<Outcome, "result" | "logs" | "transaction">,
    startedMs: number,
  ): CallMetrics {
    const path = normalisePath(invocation.path);
    const metrics = metricsOf(outcome, now() - startedMs);
    this.#add(path, metrics, outcome.result.ok);
    if (!path.startsWith("_system/")) {
      this.#send({
        udfType,
        path: path.replace(":", ".js:"),
        logs: outcome.logs,
        error: outcome.result.ok ? null : outcome.result.failure.message,
        timestamp: now() / 1000,
        executionTime: metrics.durationMs / 1000,
        caller: invocation.request.scheduledFunctionId === null ? "HttpApi" : "Scheduler",
        requestId: invocation.request.id,
      });
    }
    return metrics;
  }

  #add(path: string, metrics: CallMetrics, ok: boolean): void {
    let totals = this.totals[path];
    if (totals === undefined) {
      if (Object.keys(this.totals).length >= MAX_TOTALS) return;
      totals = {
        calls: 0,
        errors: 0,
        documentsRead: 0,
        documentsWritten: 0,
        bytesRead: 0,
        bytesWritten: 0,
        durationMs: 0,
      };
      this.totals[path] = totals;
    }
    totals.calls += 1;
    totals.errors += ok ? 0 : 1;
    totals.documentsRead += metrics.documentsRead;
    totals.documentsWritten += metrics.documentsWritten;
    totals.bytesRead += metrics.bytesRead;
    totals.bytesWritten += metrics.bytesWritten;
    totals.durationMs += metrics.durationMs;
  }
}

function metricsOf(outcome: Pick<Outcome, "transaction">, durationMs: number): CallMetrics {
  const usage = outcome.transaction?.meter.usage();
  return {
    documentsRead: usage?.documentsRead ?? 0,
    documentsWritten: usage?.documentsWritten ?? 0,
    bytesRead: usage?.bytesRead ?? 0,
    bytesWritten: usage?.bytesWritten ?? 0,
    databaseQueries: usage?.databaseQueries ?? 0,
    durationMs,
  };
}
