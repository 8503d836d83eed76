import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SilentProxy } from "../../testing/silentProxy.ts";
import { connectBackend } from "./convexBackend.ts";

const CALL_TIMEOUT_MS = 300;

let server: Server;
let proxy: SilentProxy;
let backend: ReturnType<typeof connectBackend>;

beforeEach(async () => {
  // As a deployment that keeps connections for a minute and says so.
  server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    request.resume().on("end", () => {
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
