/** What this worker tells about itself, to whoever is configured to hear it. */
import type { Claim } from "../../../convex/validators.ts";
import type { WorkerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import type { TurnEnd } from "../turn.ts";
import { createMetrics, type Gauges } from "./metrics.ts";
import { renderPrometheus, serveMetrics } from "./prometheus.ts";

export interface Telemetry {
  turnEnded(claim: Claim, end: TurnEnd, totalMs: number): void;
  engineReplaced(): void;
  /** Begins to serve and to send. */
  start(gauges: () => Gauges): Promise<void>;
  /** Delivers what is waiting. Bounded. */
  stop(): Promise<void>;
}

export function createTelemetry(config: WorkerConfig, log: Log): Telemetry {
  const metrics = createMetrics();
  let exporter: import("./exporter.ts").OtlpExporter | null = null;
  let spansOf: typeof import("./turnSpans.ts").turnSpans | null = null;
  return {
    turnEnded: (claim, end, totalMs) => {
      metrics.turnEnded(end, totalMs);
      if (spansOf !== null) exporter?.addSpans(spansOf(claim, end, totalMs, Date.now()));
    },
    engineReplaced: () => metrics.engineReplaced(),
    start: async (gauges) => {
      if (config.metricsPort !== null)
        await serveMetrics(config.metricsPort, () => renderPrometheus(metrics.read(gauges())));
      if (config.otlp === null) return;
      // Loaded by those who use it alone.
      const [{ startOtlpExporter }, { turnSpans }] = await Promise.all([
        import("./exporter.ts"),
        import("./turnSpans.ts"),
      ]);
      spansOf = turnSpans;
      exporter = startOtlpExporter({
        ...config.otlp,
        resource: { "service.name": config.otlp.serviceName, "service.instance.id": config.workerId },
        log,
        readMetrics: () => metrics.read(gauges()),
      });
    },
    stop: async () => {
      await exporter?.stop();
    },
  };
}
