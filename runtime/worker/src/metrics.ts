/** A few numbers of one worker as Prometheus text, on a loopback port and only when one is configured. */
import { createServer, type Server } from "node:http";
import type { TurnEnd } from "./turn.ts";

export interface WorkerMetrics {
  turnEnded(end: TurnEnd, totalMs: number): void;
  engineReplaced(): void;
  render(gauges: { activeTurns: number; heldConversations: number }): string;
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
    render: ({ activeTurns, heldConversations }) => {
      const lines: string[] = [];
      const metric = (
        name: string,
        type: "counter" | "gauge",
        help: string,
        samples: Array<[string, number]>,
      ): void => {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
        for (const [labels, value] of samples) lines.push(`${name}${labels} ${value}`);
      };
      const seconds = (ms: number): Array<[string, number]> => [["", ms / 1_000]];
      metric(
        "worker_turns_total",
        "counter",
        "Turns by how they ended.",
        [...ends].map(([kind, count]) => [`{end="${kind}"}`, count]),
      );
      metric("worker_turn_seconds_total", "counter", "Time in turns.", seconds(sums.turnMs));
      metric(
        "worker_hydrate_seconds_total",
        "counter",
        "Time until the model was asked.",
        seconds(sums.hydrateMs),
      );
      metric("worker_model_seconds_total", "counter", "Time in the engine's turns.", seconds(sums.modelMs));
      metric("worker_snapshot_seconds_total", "counter", "Time in snapshots.", seconds(sums.snapshotMs));
      metric("worker_snapshot_bytes_total", "counter", "Bytes uploaded for snapshots.", [
        ["", sums.snapshotBytes],
      ]);
      metric("worker_engine_replaced_total", "counter", "Gateways that had to be replaced.", [
        ["", replaced],
      ]);
      metric("worker_active_turns", "gauge", "Turns that run now.", [["", activeTurns]]);
      metric("worker_held_conversations", "gauge", "Conversations held warm.", [["", heldConversations]]);
      metric("worker_memory_bytes", "gauge", "Resident memory of the worker, without its gateway.", [
        ["", process.memoryUsage.rss()],
      ]);
      return `${lines.join("\n")}\n`;
    },
  };
}

/** Serves `GET /metrics` on 127.0.0.1. */
export async function serveMetrics(port: number, render: () => string): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(render());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  server.unref();
  return server;
}
