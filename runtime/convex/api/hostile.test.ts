/**
 * The API against its own document: requests made from the schemas that it serves, well and badly formed, with keys
 * that may and keys that may not. No server error, no state change by the unauthorised, no answer outside the document.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { callApi, makeKey } from "../testing/api.fixture.ts";
import { NOW, openWorld, type World } from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.stubGlobal("fetch", async () => new Response(null, { status: 200 }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

// oxlint-disable-next-line typescript/no-explicit-any -- a JSON Schema from the wire, walked by its own shape
type Schema = Record<string, any>;
type Described = { method: string; path: string; operation: Schema };

async function document(t: World): Promise<Schema> {
  const { status, json } = await callApi(t, { path: "/openapi.json" });
  expect(status).toBe(200);
  return json;
}

const described = (doc: Schema): Described[] =>
  Object.entries(doc["paths"] as Schema).flatMap(([path, methods]) =>
    Object.entries(methods as Schema).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );

/** Values that fit a schema as far as this API's schemas go. */
function fitting(schema: Schema): fc.Arbitrary<unknown> {
  if (schema["const"] !== undefined) return fc.constant(schema["const"]);
  if (schema["enum"] !== undefined) return fc.constantFrom(...(schema["enum"] as unknown[]));
  const choices = schema["anyOf"] ?? schema["oneOf"];
  if (choices !== undefined) return fc.oneof(...(choices as Schema[]).map(fitting));
  switch (schema["type"]) {
    case "string":
      return fc.oneof(
        fc.stringMatching(/^[a-z0-9-]{1,12}$/),
        fc.constantFrom("default", "09:30", "Europe/Rome", "https://acme.example/hook", "ada"),
      );
    case "integer":
      return fc.integer(rangeOf(schema));
    case "number":
      return fc.integer({ min: 0, max: 31 });
    case "boolean":
      return fc.boolean();
    case "array":
      return fc.array(fitting(schema["items"] as Schema), { maxLength: 3 });
    case "object": {
      const properties = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>);
      return fc.record(Object.fromEntries(properties.map(([name, inner]) => [name, fitting(inner)])), {
        requiredKeys: (schema["required"] ?? []) as string[],
      });
    }
    default:
      return fc.jsonValue();
  }
}

function rangeOf(schema: Schema): { min: number; max: number } {
  const min = Math.max(schema["minimum"] ?? 0, -1_000_000);
  return { min, max: Math.min(schema["maximum"] ?? min + 100, min + 100_000_000) };
}

/** A request of one operation: fitting the document, or spoilt somewhere. */
function requestFor({
  method,
  path,
  operation,
}: Described): fc.Arbitrary<{ method: string; path: string; body?: unknown }> {
  const body = operation["requestBody"]?.content["application/json"].schema as Schema | undefined;
  const segment = fc.oneof(
    fc.stringMatching(/^[a-z0-9]{1,32}$/),
    fc.constantFrom("c1", "ada", "..", "%2e%2e%2f", "%ff", "%00", "null", "__proto__"),
    fc.string({ maxLength: 20 }).map(encodeSafely),
  );
  const query = fc.oneof(
    fc.constant(""),
    fc.constantFrom(
      "?limit=0",
      "?limit=1e9",
      "?after=x",
      "?waitMs=-1",
      "?waitMs=0&limit=5",
      "?cursor=%00",
      "?limit=1&limit=2",
    ),
  );
  const bodies =
    body === undefined
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 3, arbitrary: fitting(body) },
          fc.jsonValue(),
          fc.string({ unit: "binary", maxLength: 60 }),
          fc.constantFrom("{", "", "x".repeat(600_000), '{"__proto__":1}', "[".repeat(30_000)),
        );
  return fc
    .tuple(fc.array(segment, { minLength: 2, maxLength: 2 }), query, bodies)
    .map(([segments, search, value]) => {
      let used = 0;
      const filled = path.replace(/\{\w+\}/g, () => segments[used++] ?? "x");
      return { method, path: `${filled}${search}`, ...(value === undefined ? {} : { body: value }) };
    });
}

function encodeSafely(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/g, "")) || "x";
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
  const key = fc.oneof(
    fc.constantFrom(
      null,
      "",
      "Bearer",
      readOnly,
      `${serviceKey}x`,
      serviceKey.slice(0, -1),
      serviceKey.replace("afk_", ""),
    ),
    fc.stringMatching(/^afk_[a-z2-9]{12}_[A-Za-z0-9_-]{43}$/),
    fc.stringMatching(/^[!-~]{0,200}$/),
  );
  const before = await stateOf(t);
  const request = fc.oneof(...operations.map(requestFor));
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
