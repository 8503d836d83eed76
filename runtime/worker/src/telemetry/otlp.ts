/** OTLP 1.x in its JSON encoding: ids as hex, 64-bit integers as strings, times in ns. */
import type { Metric } from "./metrics.ts";
import type { Span } from "./turnSpans.ts";

const SCOPE = { name: "agent-factory-worker" };
const KIND_INTERNAL = 1;
const STATUS_UNSET = 0;
const STATUS_ERROR = 2;
const CUMULATIVE = 2;

type Attributes = Record<string, string | number>;

/** Body of `POST /v1/traces`. */
export function encodeTraces(resource: Attributes, spans: readonly Span[]): unknown {
  return {
    resourceSpans: [
      {
        resource: { attributes: encodeAttributes(resource) },
        scopeSpans: [
          {
            scope: SCOPE,
            spans: spans.map((span) => ({
              traceId: span.traceId,
              spanId: span.spanId,
              ...(span.parentSpanId === null ? {} : { parentSpanId: span.parentSpanId }),
              name: span.name,
              kind: KIND_INTERNAL,
              startTimeUnixNano: nanoseconds(span.startMs),
              endTimeUnixNano: nanoseconds(span.endMs),
              attributes: encodeAttributes(span.attributes),
              status: { code: span.failed ? STATUS_ERROR : STATUS_UNSET },
            })),
          },
        ],
      },
    ],
  };
}

/**
 * Body of `POST /v1/metrics`.
 *
 * @param startMs since when the counters count, Unix time.
 */
export function encodeMetrics(
  resource: Attributes,
  metrics: readonly Metric[],
  startMs: number,
  nowMs: number,
): unknown {
  return {
    resourceMetrics: [
      {
        resource: { attributes: encodeAttributes(resource) },
        scopeMetrics: [
          {
            scope: SCOPE,
            metrics: metrics
              .filter(({ points }) => points.length > 0)
              .map(({ name, help, kind, points }) => {
                const dataPoints = points.map(({ labels, value }) => ({
                  attributes: encodeAttributes(labels),
                  startTimeUnixNano: nanoseconds(startMs),
                  timeUnixNano: nanoseconds(nowMs),
                  asDouble: value,
                }));
                return {
                  name,
                  description: help,
                  ...(kind === "gauge"
                    ? { gauge: { dataPoints } }
                    : { sum: { dataPoints, aggregationTemporality: CUMULATIVE, isMonotonic: true } }),
                };
              }),
          },
        ],
      },
    ],
  };
}

function encodeAttributes(attributes: Attributes): unknown[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === "string" ? { stringValue: value } : { intValue: String(Math.round(value)) },
  }));
}

function nanoseconds(unixMs: number): string {
  return `${Math.round(unixMs)}000000`;
}
