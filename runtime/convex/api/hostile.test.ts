/**
 * The API against its own document: requests made from the schemas that it serves, well and badly formed, with keys
 * that may and keys that may not. No server error, no state change by the unauthorised, no answer outside the document.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { callApi, makeKey } from "../testing/api.fixture.ts";
import { described, requestFor, type Schema, wrongKey } from "../testing/apiRequests.fixture.ts";
import { NOW, openWorld, type World } from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.stubGlobal("fetch", async () => new Response(null, { status: 200 }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function document(t: World): Promise<Schema> {
  const { status, json } = await callApi(t, { path: "/openapi.json" });
  expect(status).toBe(200);
  return json;
}

describe("the document", () => {
  test("is OpenAPI 3.1 with unique operation ids, and every path parameter is described", async () => {
    const doc = await document(await openWorld());
    expect(doc["openapi"]).toBe("3.1.0");
    const operations = described(doc);
    expect(new Set(operations.map(({ operation }) => operation["operationId"])).size).toBe(operations.length);
    for (const { path, operation } of operations) {
      const inPath = (operation["parameters"] as Schema[]).filter((parameter) => parameter["in"] === "path");
      expect(inPath.map((parameter) => `{${parameter["name"]}}`)).toEqual(path.match(/\{\w+\}/g) ?? []);
      for (const parameter of inPath) expect(parameter["required"]).toBe(true);
    }
  });

  test("needs no key and holds no secret", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    expect(JSON.stringify(await document(t))).not.toContain(serviceKey);
  });
});

const COUNTED = [
  "messageQueue",
  "identityBindings",
  "pairingCodes",
  "pushJobs",
  "pushTemplates",
  "broadcasts",
  "webhookEndpoints",
  "serviceKeys",
  "auditLog",
  "secrets",
] as const;

async function stateOf(t: World): Promise<string> {
  return await t.run(async (ctx) => {
    const rows: Record<string, unknown> = {};
    for (const table of COUNTED) rows[table] = await ctx.db.query(table).collect();
    return JSON.stringify(rows);
  });
}

test("6,000 requests without a right key are refused and leave no trace", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  const readOnly = (await makeKey(t, "acme", { scopes: ["agents:read"] })).serviceKey;
  const operations = described(await document(t)).filter(({ path }) => path !== "/agents");
  const key = wrongKey(serviceKey, readOnly);
  const before = await stateOf(t);
  const request = fc.oneof(...operations.map((entry) => requestFor(entry)));
  await fc.assert(
    fc.asyncProperty(request, key, async (call, presented) => {
      const { status, text } = await callApi(t, { ...call, key: presented });
      expect([401, 403, 404, 405]).toContain(status);
      expect(text).not.toContain(serviceKey.slice(5));
    }),
    { numRuns: 6_000 },
  );
  expect(await stateOf(t)).toBe(before);
}, 240_000);

test("4,000 requests with a right key are answered as the document says", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme", { requestsPerMinute: 60_000 });
  const doc = await document(t);
  const operations = described(doc);
  const errorSchema = z.fromJSONSchema(doc["components"].schemas.Error);
  const seen = new Set<string>();
  for (const entry of operations) {
    const { operation } = entry;
    const schemas = Object.fromEntries(
      Object.entries(operation["responses"] as Schema)
        .filter(([status]) => status.startsWith("2"))
        .map(([status, response]) => [status, z.fromJSONSchema(response.content["application/json"].schema)]),
    );
    await fc.assert(
      fc.asyncProperty(requestFor(entry), async (call) => {
        const { status, json, text } = await callApi(t, { ...call, key: serviceKey });
        expect(status).toBeLessThan(500);
        expect(text).not.toMatch(/ {4}at |\.ts:|ArgumentValidation|Uncaught/);
        seen.add(`${operation["operationId"]} ${status < 300 ? "ok" : "refused"}`);
        (schemas[String(status)] ?? errorSchema).parse(json);
      }),
      { numRuns: Math.ceil(4_000 / operations.length) },
    );
  }
  // The generator is worth something only when operations that need nothing else are really reached.
  for (const id of [
    "enqueueMessage",
    "listAgents",
    "createPairingCode",
    "bindUser",
    "createPushTemplate",
    "createUpload",
  ]) {
    expect(seen).toContain(`${id} ok`);
  }
}, 240_000);
