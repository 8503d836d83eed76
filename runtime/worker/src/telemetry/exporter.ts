/**
 * Sends spans and metrics to a collector by OTLP over HTTP. Telemetry never costs a turn: nothing waits for it, the
 * queue is bounded, and what a collector does not take after one more try is dropped and counted in a log line.
 */
import type { Log } from "../log.ts";
import { encodeMetrics, encodeTraces } from "./otlp.ts";
import type { Metric } from "./metrics.ts";
import type { Span } from "./turnSpans.ts";

export interface OtlpOptions {
  /** Base URL of the collector; `/v1/traces` and `/v1/metrics` are appended. */
  endpoint: string;
  /** Sent with every request; they may hold a credential. */
  headers: Record<string, string>;
  /** Who reports: service and worker. */
  resource: Record<string, string>;
  log: Log;
  readMetrics: () => Metric[];
  /** ms between two deliveries. */
  intervals?: { spansMs: number; metricsMs: number };
}

export interface OtlpExporter {
  addSpans(spans: readonly Span[]): void;
  /** Delivers what is waiting, once, and ends. */
  stop(): Promise<void>;
}

const QUEUE_MAX = 2_000;
const BATCH_MAX = 500;
const REQUEST_TIMEOUT_MS = 5_000;
const TRIES_MAX = 2;
const DEFAULT_INTERVALS = { spansMs: 5_000, metricsMs: 60_000 };
/** What OTLP calls worth another try. */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export function startOtlpExporter(options: OtlpOptions): OtlpExporter {
  const { spansMs, metricsMs } = options.intervals ?? DEFAULT_INTERVALS;
  const startedAt = Date.now();
  const queue: Span[] = [];
  let dropped = 0;
  let sending: Promise<void> = Promise.resolve();

  const send = async (path: string, body: unknown): Promise<boolean> => {
    for (let attempt = 1; ; attempt += 1) {
      const status = await post(`${options.endpoint.replace(/\/+$/, "")}${path}`, options.headers, body);
      if (status >= 200 && status < 300) return true;
      if (!retryable.has(status) || attempt === TRIES_MAX) return false;
    }
  };
  const sendSpans = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.splice(0, BATCH_MAX);
      if (!(await send("/v1/traces", encodeTraces(options.resource, batch)))) dropped += batch.length;
    }
    if (dropped === 0) return;
    options.log.warn({ spans: dropped }, "The telemetry endpoint did not take spans; they are dropped");
    dropped = 0;
  };
  const sendMetrics = async (): Promise<void> => {
    const body = encodeMetrics(options.resource, options.readMetrics(), startedAt, Date.now());
    await send("/v1/metrics", body);
  };
  /** One delivery at a time: a slow collector is not asked twice at once. */
  const next = (work: () => Promise<void>): Promise<void> => (sending = sending.then(work));
  const timers = [
    setInterval(() => void next(sendSpans), spansMs),
    setInterval(() => void next(sendMetrics), metricsMs),
  ];
  for (const timer of timers) timer.unref();

  return {
    addSpans: (spans) => {
      for (const span of spans) {
        if (queue.length < QUEUE_MAX) queue.push(span);
        else dropped += 1;
      }
    },
    stop: async () => {
      for (const timer of timers) clearInterval(timer);
      await next(sendSpans);
      await next(sendMetrics);
    },
  };
}

/** @returns the status; 503 where there was none. */
async function post(url: string, headers: Record<string, string>, body: unknown): Promise<number> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error", // The headers are for this endpoint alone.
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.status;
  } catch {
    return 503;
  }
}
