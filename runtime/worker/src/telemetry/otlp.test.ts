import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import type { Claim } from "../../../convex/validators.ts";
import { silentLog } from "../../testing/log.ts";
import { testConfig } from "../../testing/worker.ts";
import { startOtlpExporter } from "./exporter.ts";
import { createTelemetry } from "./telemetry.ts";
import { turnSpans } from "./turnSpans.ts";

interface Received {
  path: string;
  authorization: string | undefined;
  // oxlint-disable-next-line no-explicit-any -- the wire's JSON, of which each test reads what it asserts
  body: any;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A collector that answers with the given statuses, then with 200. */
async function startCollector(...statuses: number[]) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += String(chunk)));
    request.on("end", () => {
      const { authorization } = request.headers;
      received.push({ path: request.url ?? "", authorization, body: JSON.parse(text) });
      response.writeHead(statuses.shift() ?? 200).end("{}");
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const claim = (messageId: string, attempt = 1): Claim => ({
  messageId: messageId as Claim["messageId"],
  conversationId: "telegram:1:2",
  agentKey: "sales",
  leaseId: "lease-1",
  leaseExpiresAt: 0,
  leaseMs: 45_000,
  heartbeatIntervalMs: 10_000,
  turnTimeoutMs: 60_000,
  dedication: "none",
  attempt,
  maxAttempts: 5,
  payload: { provider: "telegram", providerUserId: "777000", messageText: "the words of a person" },
});
const answered = {
  kind: "answered",
  hydrateMs: 100,
  modelMs: 700,
  snapshotMs: 150,
  uploadedBytes: 4_096,
} as const;
const gauges = { activeTurns: 1, heldConversations: 3 };
const attributesOf = (item: { attributes: Array<{ key: string; value: Record<string, string> }> }) =>
  Object.fromEntries(
    item.attributes.map(({ key, value }) => [key, value["stringValue"] ?? value["intValue"]]),
  );

test("turns and numbers reach the collector, with ids and without a word or a secret", async () => {
  const collector = await startCollector();
  const config = testConfig("/nowhere", "http://127.0.0.1:9/v1", {
    otlp: {
      endpoint: `${collector.url}/`,
      headers: { authorization: "Bearer collector-key" },
      serviceName: "factory",
    },
  });
  const telemetry = createTelemetry(config, silentLog);
  await telemetry.start(() => gauges);
  telemetry.turnEnded(claim("m1"), answered, 1_000);
  telemetry.turnEnded(
    claim("m2"),
    { kind: "failed", errorKind: "retryable", error: "the words of a person" },
    500,
  );
  telemetry.engineReplaced();
  await telemetry.stop();

  expect(collector.received.map(({ path }) => path)).toEqual(["/v1/traces", "/v1/metrics"]);
  const [traces, metrics] = collector.received;
  expect(traces?.authorization).toBe("Bearer collector-key");
  const { resource, scopeSpans } = traces?.body?.resourceSpans?.[0] ?? {};
  expect(attributesOf(resource)).toEqual({ "service.name": "factory", "service.instance.id": "w-test-1" });
  const { spans } = scopeSpans[0];
  expect(spans.map((span: { name: string }) => span.name)).toEqual([
    "turn",
    "hydrate",
    "model",
    "snapshot",
    "turn",
  ]);
  expect(attributesOf(spans[0])).toEqual({
    "message.id": "m1",
    "conversation.id": "telegram:1:2",
    "agent.key": "sales",
    "lease.id": "lease-1",
    "turn.attempt": "1",
    "turn.end": "answered",
    "snapshot.bytes": "4096",
  });
  expect(attributesOf(spans[4])).toMatchObject({ "turn.end": "failed", "error.kind": "retryable" });
  expect(spans.map((span: { status: { code: number } }) => span.status.code)).toEqual([0, 0, 0, 0, 2]);

  const { scopeMetrics } = metrics?.body?.resourceMetrics?.[0] ?? {};
  const named = (name: string) =>
    scopeMetrics[0].metrics.find((metric: { name: string }) => metric.name === name);
  expect(named("worker_turns_total").sum).toMatchObject({
    isMonotonic: true,
    aggregationTemporality: 2,
    dataPoints: [
      { attributes: [{ key: "end", value: { stringValue: "answered" } }], asDouble: 1 },
      { attributes: [{ key: "end", value: { stringValue: "failed" } }], asDouble: 1 },
    ],
  });
  expect(named("worker_engine_replaced_total").sum.dataPoints[0].asDouble).toBe(1);
  expect(named("worker_held_conversations").gauge.dataPoints[0].asDouble).toBe(3);

  const sent = JSON.stringify(collector.received.map(({ body }) => body));
  for (const secret of ["the words of a person", "777000", "test-token", "test-key", "collector-key"])
    expect(sent).not.toContain(secret);
});

test("the phases of a turn lie within it, one after the other; attempts of a message share its trace", () => {
  const [turn, hydrate, model, snapshot] = turnSpans(claim("m1"), answered, 1_000, 5_000);
  expect([turn?.startMs, turn?.endMs]).toEqual([4_000, 5_000]);
  expect([hydrate?.startMs, hydrate?.endMs, model?.endMs, snapshot?.endMs]).toEqual([
    4_000, 4_100, 4_800, 4_950,
  ]);
  for (const phase of [hydrate, model, snapshot]) expect(phase?.parentSpanId).toBe(turn?.spanId);
  const again = turnSpans(claim("m1", 2), { kind: "lost" }, 10, 6_000);
  expect(again.map(({ traceId }) => traceId)).toEqual([turn?.traceId]);
  expect(turn?.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(turnSpans(claim("m2"), { kind: "lost" }, 10, 6_000)[0]?.traceId).not.toBe(turn?.traceId);
});

test.each([
  [[503], 1],
  [[503, 503], 0],
  [[400], 0],
])(
  "a collector that answers %j is asked once more at most, and what it refuses is dropped",
  async (statuses, taken) => {
    const collector = await startCollector(...statuses);
    const warnings: object[] = [];
    const exporter = startOtlpExporter({
      endpoint: collector.url,
      headers: {},
      resource: {},
      log: { ...silentLog, warn: (fields) => void warnings.push(fields) },
      readMetrics: () => [],
    });
    exporter.addSpans(turnSpans(claim("m1"), { kind: "lost" }, 10, 5_000));
    await exporter.stop();
    const traces = collector.received.filter(({ path }) => path === "/v1/traces");
    expect(traces).toHaveLength(statuses.includes(400) ? 1 : 2);
    expect(warnings).toEqual(taken === 1 ? [] : [{ spans: 1 }]);
  },
);

test("a queue that nobody empties is bounded", async () => {
  const collector = await startCollector();
  const warnings: object[] = [];
  const exporter = startOtlpExporter({
    endpoint: collector.url,
    headers: {},
    resource: {},
    log: { ...silentLog, warn: (fields) => void warnings.push(fields) },
    readMetrics: () => [],
  });
  for (let index = 0; index < 2_500; index += 1)
    exporter.addSpans(turnSpans(claim(`m${index}`), { kind: "lost" }, 10, 5_000));
  await exporter.stop();
  const sent = collector.received.flatMap(({ body }) => body.resourceSpans?.[0].scopeSpans[0].spans ?? []);
  expect(sent).toHaveLength(2_000);
  expect(warnings).toEqual([{ spans: 500 }]);
});

test("without an endpoint nothing is sent and nothing runs", async () => {
  const fetched = vi.spyOn(globalThis, "fetch");
  const timers = vi.spyOn(globalThis, "setInterval");
  const telemetry = createTelemetry(testConfig("/nowhere", "http://127.0.0.1:9/v1"), silentLog);
  await telemetry.start(() => gauges);
  telemetry.turnEnded(claim("m1"), answered, 1_000);
  await telemetry.stop();
  expect(fetched).not.toHaveBeenCalled();
  expect(timers).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});
