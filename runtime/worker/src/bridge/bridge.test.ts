import { describe, expect, test } from "vitest";
import { type BridgeClock, executeBridgeFunction, maybeExecuteBridgeToolCall } from "./execute.ts";
import { resolveBridgeRuntimeConfig } from "./config.ts";
import { modelToolName } from "./modelToolName.ts";
import { bridgeFunctionKeyFromToolName, isBridgeToolName } from "./toolNames.ts";

const config = { baseUrl: "https://app.test", serviceId: "svc", serviceKey: "service-secret", appKey: "app" };

/** Answers in order; records requests and waits. */
function clock(...answers: Array<Response | Error>) {
  const requests: Array<{ url: string; init: RequestInit }> = [];
  const waits: number[] = [];
  const fake: BridgeClock = {
    fetch: (url, init) => {
      requests.push({ url: url as string, init: init ?? {} });
      const next = answers.shift() ?? new Error("no more answers");
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
    },
    wait: (ms) => Promise.resolve(void waits.push(ms)),
    now: () => Date.parse("2026-01-01T00:00:00Z"),
  };
  return { fake, requests, waits };
}
const headersOf = (init: RequestInit | undefined): Record<string, string> =>
  init?.headers as Record<string, string>;

describe("tool names", () => {
  test.each([
    ["bridge.orders.get", "orders.get"],
    ["bridge.a_b-C9", "a_b-C9"],
    ["bridge.", null],
    ["bridge.a b", null],
    ["bridge_orders", null],
    ["xbridge.a", null],
  ])("%s → %s", (toolName, key) => {
    expect(bridgeFunctionKeyFromToolName(toolName)).toBe(key);
    expect(isBridgeToolName(toolName)).toBe(key !== null);
  });

  test("a model's tool name fits every provider and no two keys share one", () => {
    expect(modelToolName("getOrder")).toBe("bridge_getOrder");
    const keys = ["orders.get", "orders_get", "orders/get", "x".repeat(80), `${"x".repeat(80)}y`];
    const names = keys.map(modelToolName);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(new Set(names).size).toBe(keys.length);
  });
});

describe("configuration", () => {
  const hydrated = {
    baseUrl: "https://hydrated/",
    serviceId: "s",
    serviceKey: "k",
    appKey: "a",
    appBaseUrlMapJson: null,
  };

  test("what was hydrated comes before the environment", () => {
    const resolved = resolveBridgeRuntimeConfig(hydrated, { AGENT_BRIDGE_BASE_URL: "https://env" });
    expect(resolved).toEqual({
      ok: true,
      config: { baseUrl: "https://hydrated", serviceId: "s", serviceKey: "k", appKey: "a" },
    });
  });

  test("blank counts as absent, and the first name of a variable wins", () => {
    const resolved = resolveBridgeRuntimeConfig(
      { ...hydrated, baseUrl: "  " },
      { OPENCLAW_AGENT_BRIDGE_BASE_URL: "https://first", AGENT_BRIDGE_BASE_URL: "https://second" },
    );
    expect(resolved).toMatchObject({ config: { baseUrl: "https://first" } });
  });

  test("the base URL is found by app key in the map, the app by its default", () => {
    const env = { AGENT_BRIDGE_DEFAULT_APP_KEY: "crm", APP_BASE_URL_MAP_JSON: '{"crm":"https://crm.test"}' };
    const resolved = resolveBridgeRuntimeConfig({ serviceId: "s", serviceKey: "k" }, env);
    expect(resolved).toMatchObject({ config: { appKey: "crm", baseUrl: "https://crm.test" } });
  });

  test("every missing field is named, and no value", () => {
    const resolved = resolveBridgeRuntimeConfig({ serviceKey: "service-secret" }, {});
    expect(resolved).toEqual({
      ok: false,
      error: "The bridge is not configured: missing baseUrl, serviceId, appKey",
    });
  });

  test("a malformed map is said to be one", () => {
    expect(resolveBridgeRuntimeConfig(null, { APP_BASE_URL_MAP_JSON: "[1]" })).toMatchObject({ ok: false });
  });
});

describe("execution", () => {
  const call = { functionKey: "orders.get", args: { id: 1 } };

  test("posts function and arguments with the service's headers", async () => {
    const { fake, requests } = clock(Response.json({ total: 3 }));
    const result = await executeBridgeFunction(config, { ...call, idempotencyKey: "key" }, fake);
    expect(result).toEqual({ success: true, status: 200, functionKey: "orders.get", result: { total: 3 } });
    expect(requests[0]?.url).toBe("https://app.test/agent/execute");
    expect(JSON.parse(requests[0]?.init.body as string)).toEqual({
      functionKey: "orders.get",
      args: { id: 1 },
    });
    expect(headersOf(requests[0]?.init)).toEqual({
      "content-type": "application/json",
      "X-Agent-Service-Id": "svc",
      "X-Agent-Service-Key": "service-secret",
      "X-Agent-App": "app",
      "Idempotency-Key": "key",
    });
  });

  test.each([
    ["null", null],
    ["0", 0],
    ["plain words", "plain words"],
    ["", ""],
  ])("an answer of '%s' is the result %j", async (text, expected) => {
    const { fake } = clock(new Response(text));
    expect((await executeBridgeFunction(config, call, fake)).result).toBe(expected);
  });

  test("a person's own token becomes a bearer", async () => {
    const { fake, requests } = clock(Response.json({}));
    await executeBridgeFunction(config, { ...call, userToken: "ut" }, fake);
    expect(headersOf(requests[0]?.init)["Authorization"]).toBe("Bearer ut");
  });

  test("5xx and lost connections are tried three times, later and later, under one key", async () => {
    const { fake, requests, waits } = clock(
      new Response("", { status: 503 }),
      new TypeError("fetch failed"),
      Response.json(1),
    );
    const result = await executeBridgeFunction(config, { ...call, idempotencyKey: "key" }, fake);
    expect(result.success).toBe(true);
    expect(waits).toEqual([250, 500]);
    expect(requests.map(({ init }) => headersOf(init)["Idempotency-Key"])).toEqual(["key", "key", "key"]);
  });

  test.each([
    ["2", 2_000],
    ["Thu, 01 Jan 2026 00:00:03 GMT", 3_000],
    ["86400", 10_000],
    ["soon", 250],
  ])("Retry-After %s waits %i ms", async (header, ms) => {
    const { fake, waits } = clock(
      new Response("", { status: 429, headers: { "retry-after": header } }),
      Response.json(1),
    );
    await executeBridgeFunction(config, call, fake);
    expect(waits).toEqual([ms]);
  });

  test("a refusal is final and carries the app's own words", async () => {
    const { fake, requests } = clock(Response.json({ error: "no such order" }, { status: 404 }));
    const result = await executeBridgeFunction(config, call, fake);
    expect(result).toEqual({
      success: false,
      status: 404,
      functionKey: "orders.get",
      error: "no such order",
    });
    expect(requests).toHaveLength(1);
  });

  test("never throws: a bridge that cannot be reached is an answer with status 0", async () => {
    const down = Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
    const { fake } = clock(down, down, down);
    const result = await executeBridgeFunction(config, call, fake);
    expect(result).toMatchObject({
      success: false,
      status: 0,
      error: "The bridge did not answer: ECONNREFUSED",
    });
  });

  test("other tools are left alone; an unresolved bridge is handled with status 400", async () => {
    expect(await maybeExecuteBridgeToolCall({ toolName: "read", args: {}, env: {} })).toEqual({
      handled: false,
    });
    const outcome = await maybeExecuteBridgeToolCall({ toolName: "bridge.x", args: {}, env: {} });
    expect(outcome).toMatchObject({ handled: true, success: false, status: 400, functionKey: "x" });
  });
});
