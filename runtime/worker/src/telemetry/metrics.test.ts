import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";
import { renderPrometheus, serveMetrics } from "./prometheus.ts";

test("turns are counted by their end, and served as Prometheus text on loopback", async () => {
  const metrics = createMetrics();
  metrics.turnEnded(
    { kind: "answered", hydrateMs: 100, modelMs: 1_500, snapshotMs: 50, uploadedBytes: 2_048 },
    1_700,
  );
  metrics.turnEnded({ kind: "lost" }, 300);
  metrics.engineReplaced();
  const gauges = { activeTurns: 2, heldConversations: 7 };
  const server = await serveMetrics(0, () => renderPrometheus(metrics.read(gauges)));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toContain('worker_turns_total{end="answered"} 1\nworker_turns_total{end="lost"} 1\n');
  expect(text).toContain("worker_turn_seconds_total 2\n");
  expect(text).toContain("worker_snapshot_bytes_total 2048\n");
  expect(text).toContain("worker_held_conversations 7\n");
  expect((await fetch(`${url}/else`)).status).toBe(404);
  server.closeAllConnections();
  server.close();
});
