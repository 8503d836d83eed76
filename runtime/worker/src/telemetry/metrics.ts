/** A few numbers of one worker: counted here, read by Prometheus or sent by OTLP. */
import type { TurnEnd } from "../turn.ts";

export interface Metric {
  /** Unit last. */
  name: string;
  kind: "counter" | "gauge";
  help: string;
  points: Array<{ labels: Record<string, string>; value: number }>;
}

export interface Gauges {
  activeTurns: number;
  heldConversations: number;
}

export interface WorkerMetrics {
  turnEnded(end: TurnEnd, totalMs: number): void;
  engineReplaced(): void;
  /** Everything as it is now; counters since the worker began. */
  read(gauges: Gauges): Metric[];
}

export function createMetrics(): WorkerMetrics {
  const ends = new Map<TurnEnd["kind"], number>();
  const sums = { turnMs: 0, modelMs: 0, hydrateMs: 0, snapshotMs: 0, snapshotBytes: 0 };
  let replaced = 0;
  return {
    turnEnded: (end, totalMs) => {
      ends.set(end.kind, (ends.get(end.kind) ?? 0) + 1);
      sums.turnMs += totalMs;
      if (end.kind !== "answered") return;
      sums.modelMs += end.modelMs;
      sums.hydrateMs += end.hydrateMs;
      sums.snapshotMs += end.snapshotMs;
      sums.snapshotBytes += end.uploadedBytes;
    },
    engineReplaced: () => {
      replaced += 1;
    },
    read: ({ activeTurns, heldConversations }) => [
      {
        name: "worker_turns_total",
        kind: "counter",
        help: "Turns by how they ended.",
        points: [...ends].map(([end, value]) => ({ labels: { end }, value })),
      },
      counter("worker_turn_seconds_total", "Time in turns.", sums.turnMs / 1_000),
      counter("worker_hydrate_seconds_total", "Time until the model was asked.", sums.hydrateMs / 1_000),
      counter("worker_model_seconds_total", "Time in the engine's turns.", sums.modelMs / 1_000),
      counter("worker_snapshot_seconds_total", "Time in snapshots.", sums.snapshotMs / 1_000),
      counter("worker_snapshot_bytes_total", "Bytes uploaded for snapshots.", sums.snapshotBytes),
      counter("worker_engine_replaced_total", "Gateways that had to be replaced.", replaced),
      gauge("worker_active_turns", "Turns that run now.", activeTurns),
      gauge("worker_held_conversations", "Conversations held warm.", heldConversations),
      gauge(
        "worker_memory_bytes",
        "Resident memory of the worker, without its gateway.",
        process.memoryUsage.rss(),
      ),
    ],
  };
}

const single =
  (kind: Metric["kind"]) =>
  (name: string, help: string, value: number): Metric => ({
    name,
    kind,
    help,
    points: [{ labels: {}, value }],
  });
const counter = single("counter");
const gauge = single("gauge");
