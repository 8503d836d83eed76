import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SilentProxy } from "../../testing/silentProxy.ts";
import { connectBackend } from "./convexBackend.ts";

const CALL_TIMEOUT_MS = 300;

let server: Server;
let bodies: string[];
let proxy: SilentProxy;
let backend: ReturnType<typeof connectBackend>;

beforeEach(async () => {
  // As a deployment that keeps connections for a minute and says so.
  bodies = [];
  server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part: string) => (body += part));
    request.on("end", () => {
      bodies.push(body);
      setTimeout(() => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ status: "success", value: true, logLines: [] }));
      }, 30);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await SilentProxy.start((server.address() as AddressInfo).port);
  const credential = { workerId: "w-1", token: "token" };
  backend = connectBackend({ url: proxy.url, credential, callTimeoutMs: CALL_TIMEOUT_MS });
});
afterEach(async () => {
  await backend.close();
  await proxy.close();
  server.closeAllConnections();
  server.close();
});

const heartbeats = async (count: number) =>
  await Promise.allSettled(Array.from({ length: count }, () => backend.heartbeat(null)));

test("what a model wrote reaches the backend as Unicode, which takes nothing else", async () => {
  const lease = { messageId: "m" as never, leaseId: "l" };
  const half = "half \ud83d";
  await backend.preview(lease, half);
  await backend.complete({
    ...lease,
    answer: { text: half },
    history: [{ role: "assistant", content: half }],
  });
  await backend.fail(lease, `${half} \u{1f600}`, "retryable");
  expect(bodies).toHaveLength(3);
  for (const body of bodies) expect(body).not.toMatch(/\\ud[89a-f]/);
  expect(bodies[1]).toContain('"half \ufffd"');
  expect(bodies[2]).toContain("half \ufffd \u{1f600}");
});

test("calls keep their connections", async () => {
  for (let i = 0; i < 10; i += 1) await heartbeats(1);
  expect(proxy.accepted).toBeLessThan(5);
});

test("one call without an answer costs all connections of its time: the next call is answered", async () => {
  await heartbeats(4);
  proxy.mute();
  await expect(backend.heartbeat(null)).rejects.toMatchObject({ kind: "unknown" });
  proxy.heal();
  await expect(backend.heartbeat(null)).resolves.toBe(true);
});
