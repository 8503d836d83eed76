import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import * as root from "agent-factory";
import { createClient, verifyWebhook } from "@agent-factory/client";
import { httpRouter } from "convex/server";
import { expect, test } from "vitest";

test("the package root exports the routes and the bridge helpers, and nothing else", () => {
  expect(Object.keys(root).sort()).toEqual([
    "bridgeFunctionKeyFromToolName",
    "executeBridgeFunction",
    "isBridgeToolName",
    "maybeExecuteBridgeToolCall",
    "registerRoutes",
    "resolveBridgeRuntimeConfig",
  ]);
});

test("registerRoutes mounts the webhooks below the given prefix", () => {
  const http = httpRouter();
  root.registerRoutes(http, { pathPrefix: "/bots" });
  expect(http.getRoutes().map(([path, method]) => `${method} ${path}`)).toEqual([
    "POST /bots/telegram/webhook",
    "POST /bots/telegram/webhook/*",
  ]);
});

test("the bridge helpers tell a bridge's tools from others and name what is missing", async () => {
  expect(root.isBridgeToolName("bridge.orders.list")).toBe(true);
  expect(root.bridgeFunctionKeyFromToolName("bridge.orders.list")).toBe("orders.list");
  expect(await root.maybeExecuteBridgeToolCall({ toolName: "web.search", args: {}, env: {} })).toEqual({
    handled: false,
  });
  expect(root.resolveBridgeRuntimeConfig({ appKey: "shop" }, {})).toMatchObject({
    ok: false,
    error: expect.stringContaining("baseUrl, serviceId, serviceKey"),
  });
});

test("the client is imported by its name", () => {
  expect([typeof createClient, typeof verifyWebhook]).toEqual(["function", "function"]);
});

test("the package root bundles for runtimes without Node's modules, such as a Convex app's http.ts", () => {
  // The bundler that the Convex CLI itself brings.
  const bundler = createRequire(import.meta.resolve("convex/package.json")).resolve("esbuild/bin/esbuild");
  const entry = fileURLToPath(import.meta.resolve("agent-factory"));
  const bundle = execFileSync(bundler, [entry, "--bundle", "--format=esm", "--platform=browser"], {
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
    stdio: ["ignore", "pipe", "ignore"],
  });
  expect(bundle).toContain("registerRoutes");
  expect(bundle).not.toMatch(/from "node:|require\("node:|\bBuffer\./);
});
