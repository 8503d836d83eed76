import { anyApi } from "convex/server";
import { ConvexError } from "convex/values";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./testing/fixture.ts";

// The fixture's own generated types belong to the fixture; over the wire names are all there is.
const api = anyApi as Record<string, Record<string, never>>;
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start();
});

afterAll(async () => await deployment.close());

const query = (path: string, args: object = {}): Promise<unknown> =>
  deployment.http.query(reference(path), args as never);
const mutate = (path: string, args: object = {}): Promise<unknown> =>
  deployment.http.mutation(reference(path), args as never, { skipQueue: true });
const act = (path: string, args: object = {}): Promise<unknown> =>
  deployment.http.action(reference(path), args as never);

function reference(path: string): never {
  const [module, name] = path.split(":") as [string, string];
  return api[module]![name]!;
}

describe("queries and mutations over HTTP", () => {
  it("write, read by index and give results in their order", async () => {
    for (const body of ["one", "two", "three"]) await mutate("messages:send", { channel: "order", body });
    expect(await query("messages:list", { channel: "order" })).toMatchObject([
      { body: "one" },
      { body: "two" },
      { body: "three" },
    ]);
    expect(await query("messages:latest", { channel: "order" })).toMatchObject({ body: "three" });
  });

  it("roll back everything when they throw, and carry a ConvexError's data", async () => {
    const refused = await mutate("messages:refuse", { channel: "rolled" }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConvexError);
    expect((refused as ConvexError<{ code: string }>).data).toEqual({ code: "refused", channel: "rolled" });
    await expect(mutate("messages:fail", { channel: "rolled" })).rejects.toThrow("Uncaught Error: boom");
    expect(await query("messages:count", { channel: "rolled" })).toBe(0);
  });

  it("undo a nested mutation that throws, alone", async () => {
    expect(await mutate("counters:outer", { name: "nested" })).toContain("nested failure");
    expect(await query("counters:value", { name: "nested" })).toBe(1);
  });

  it("lose no update when many run at once and yield in the middle", async () => {
    await Promise.all(Array.from({ length: 10 }, () => mutate("counters:slowIncrement", { name: "race" })));
    expect(await query("counters:value", { name: "race" })).toBe(10);
  });

  it("check arguments and results against the validators", async () => {
    await expect(mutate("messages:send", { channel: "x" })).rejects.toThrow(
      /ArgumentValidationError: Object is missing the required field `body`/,
    );
    await expect(mutate("messages:send", { channel: "x", body: "b", extra: 1 })).rejects.toThrow(
      /extra field `extra`/,
    );
    await expect(query("counters:badReturn")).rejects.toThrow(/ReturnsValidationError/);
    await expect(query("messages:get", { id: "nonsense" })).rejects.toThrow(/Validator: v.id\("messages"\)/);
  });

  it("check documents against the schema on every write and name table and field", async () => {
    await expect(mutate("messages:sendAnything", { document: { channel: "a", body: 7 } })).rejects.toThrow(
      /table "messages" because it does not match the schema: .*Path: .body\nValue: 7.0\nValidator: v.string\(\)/s,
    );
    await expect(
      mutate("messages:sendAnything", { document: { channel: "a", body: "b", _id: "x" } }),
    ).rejects.toThrow(/reserved/);
  });

  it("keep internal functions from everyone without the admin key", async () => {
    await expect(query("messages:secret")).rejects.toThrow(
      /Could not find public function for 'messages:secret'/,
    );
    expect(await deployment.admin.query(reference("messages:secret"), {})).toBe("internal");
    await expect(query("_system/cli/queryEnvironmentVariables:default")).rejects.toThrow(/Could not find/);
  });

  it("refuse to run a function as another kind", async () => {
    await expect(query("messages:send", { channel: "a", body: "b" })).rejects.toThrow(
      /but it is defined as a Mutation/,
    );
  });

  it("page through an index and read several queries at one timestamp", async () => {
    for (let i = 0; i < 5; i++) await mutate("messages:send", { channel: "paged", body: String(i) });
    const first = (await query("messages:page", {
      channel: "paged",
      paginationOpts: { numItems: 3, cursor: null },
    })) as { page: { body: string }[]; continueCursor: string; isDone: boolean };
    expect(first.page.map(({ body }) => body)).toEqual(["0", "1", "2"]);
    const paginationOpts = { numItems: 3, cursor: first.continueCursor };
    expect(await query("messages:page", { channel: "paged", paginationOpts })).toMatchObject({
      page: [{ body: "3" }, { body: "4" }],
      isDone: true,
    });
    const http = deployment.http;
    const ask = () => http.consistentQuery(reference("messages:count"), { channel: "paged" } as never);
    const before = await ask();
    await mutate("messages:send", { channel: "paged", body: "later" });
    expect(await ask()).toBe(before);
    expect(await query("messages:count", { channel: "paged" })).toBe(6);
  });

  it("see a frozen clock, and neither fetch nor timers", async () => {
    expect(await query("faults:clock")).toMatchObject({ same: true });
    await expect(mutate("faults:fetchInMutation")).rejects.toThrow(
      /Can't use fetch\(\) in queries and mutations/,
    );
    await expect(query("faults:timerInQuery")).rejects.toThrow(
      /Can't use setTimeout\(\) in queries and mutations/,
    );
  });

  it("take and give Unicode alone, in arguments, documents and results", async () => {
    await expect(mutate("messages:send", { channel: "half", body: "a\ud83d" })).rejects.toThrow(/surrogate/);
    await expect(mutate("values:insertHalf")).rejects.toThrow(/Received invalid json/);
    await expect(query("values:giveHalf")).rejects.toThrow(/surrogate/);
    await mutate("messages:send", { channel: "half", body: "a\ud83d\ude00" });
    expect(await query("messages:list", { channel: "half" })).toMatchObject([{ body: "a\ud83d\ude00" }]);
  });

  it("refuse a document that no deployment stores", async () => {
    const document = { channel: "deep", body: Array.from({ length: 8_193 }, () => 0) };
    await expect(mutate("messages:sendAnything", { document })).rejects.toThrow(/Array length is too long/);
  });

  it("find of AbortSignal what Convex's runtime promises", async () => {
    expect(await query("runtimes:abortStatics")).toEqual(["undefined", "undefined"]);
  });

  it("report what they used, to the function and to holders of the admin key", async () => {
    const report = (await query("runtimes:meta")) as { metrics: { databaseQueries: { used: number } } };
    expect(report.metrics.databaseQueries.used).toBe(1);
    const response = await fetch(`${deployment.convex.url}/api/query`, {
      method: "POST",
      headers: { authorization: `Convex ${deployment.target.adminKey}` },
      body: JSON.stringify({ path: "messages:count", args: [{ channel: "order" }] }),
    });
    const metrics = JSON.parse(response.headers.get("x-local-metrics") ?? "{}") as object;
    expect(metrics).toMatchObject({ documentsRead: 3, documentsWritten: 0, databaseQueries: 1 });
  });
});

describe("values", () => {
  it("sort in Convex's order through an index, missing first, and in reverse", async () => {
    const labels = ["missing", "null", "int", "float", "false", "true", "string", "bytes", "array", "object"];
    const values = [undefined, null, 2n, -1.5, false, true, "a", new ArrayBuffer(1), [1], { k: 1 }];
    const documents = labels.map((label, i) => ({
      label,
      ...(values[i] === undefined ? {} : { value: values[i] }),
    }));
    await mutate("values:put", { documents: [...documents].reverse() });
    expect(await query("values:ordered", { order: "asc" })).toEqual(labels);
    expect(await query("values:ordered", { order: "desc" })).toEqual([...labels].reverse());
    expect(await query("values:between", { from: false, to: "b" })).toEqual(["false", "true", "string"]);
    expect(await query("values:missing")).toHaveLength(labels.length);
  });

  it("can be filtered, patched, unset and replaced, and system fields stay", async () => {
    const [id] = (await mutate("values:put", { documents: [{ value: 41, label: "kept", extra: 1 }] })) as [
      string,
    ];
    await mutate("values:put", { documents: [{ value: 42, label: "skip" }] });
    const passed = (await query("values:filtered", { above: 40 })) as { _id: string; label: string }[];
    expect(passed.map(({ _id }) => _id)).toContain(id);
    expect(passed.map(({ label }) => label)).not.toContain("skip");
    expect(await mutate("values:change", { id, patch: { value: 43 } })).toMatchObject({
      _id: id,
      value: 43,
      extra: 1,
    });
    expect(await mutate("values:change", { id, unset: "extra" })).not.toHaveProperty("extra");
    const replaced = (await mutate("values:change", { id, replace: { label: "new" } })) as object;
    expect(replaced).toMatchObject({ _id: id, label: "new" });
    expect(replaced).not.toHaveProperty("value");
    expect(replaced).toHaveProperty("_creationTime");
    await expect(mutate("values:change", { id, patch: { _id: "other" } })).rejects.toThrow(/reserved/);
  });

  it("tell ids of one table from another's and from other text", async () => {
    const [id] = (await mutate("values:put", { documents: [{}] })) as [string];
    expect(await query("values:normalise", { id })).toEqual({ loose: id, counters: null });
    expect(await query("values:normalise", { id: "zzz" })).toEqual({ loose: null, counters: null });
  });

  it("are read back by the mutation that wrote them, in index order", async () => {
    const { asc, desc } = (await mutate("values:ownWrites")) as { asc: string[]; desc: string[] };
    expect(asc.filter((label) => label?.startsWith("own"))).toEqual(["own-1", "own-2", "own-3"]);
    expect(desc).toHaveLength(2);
  });
});

describe("commit timestamps", () => {
  it("are filled in when the mutation commits and order its documents", async () => {
    const ids = [
      await mutate("values:stamp", { label: "first" }),
      await mutate("values:stamp", { label: "second" }),
    ];
    const [first, second] = (await Promise.all(ids.map((id) => query("values:one", { id })))) as {
      value: bigint;
    }[];
    expect(first?.value).toBeTypeOf("bigint");
    expect(second?.value).toBeGreaterThan(first?.value ?? 0n);
    expect(await query("values:between", { from: first?.value, to: second?.value })).toEqual(["first"]);
  });
});

describe("actions", () => {
  it("call queries, mutations and actions across the default and the Node runtime", async () => {
    const result = (await act("runtimes:across", { name: "across" })) as { node: string; value: number };
    expect(result.node).toMatch(/^[0-9a-f]{64}$/);
    expect(result.value).toBe(1);
  });

  it("see the deployment's environment and nothing of the process that hosts it", async () => {
    expect(await act("node:environment")).toEqual({
      names: ["CONVEX_CLOUD_URL", "CONVEX_SITE_URL"],
      node: "string",
    });
    expect(await query("runtimes:readEnv", { name: "CONVEX_SITE_URL" })).toBe(deployment.convex.siteUrl);
  });
});

describe("refusals over HTTP", () => {
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    fetch(`${deployment.convex.url}${path}`, { method: "POST", body, headers });

  it("answer with Convex's code and message", async () => {
    const wrongKey = await post("/api/query", "{}", { authorization: "Convex wrong" });
    expect(wrongKey.status).toBe(403);
    expect(await wrongKey.json()).toMatchObject({ code: "BadDeployKey" });
    const userToken = await post("/api/query", "{}", { authorization: "Bearer x.y.z" });
    expect(userToken.status).toBe(401);
    const noKey = await post("/api/update_environment_variables", '{"changes":[]}');
    expect(noKey.status).toBe(401);
    const notJson = await post("/api/query", "{");
    expect(notJson.status).toBe(400);
    expect(await notJson.json()).toMatchObject({ code: "BadJsonBody" });
    const malformed = await post("/api/query", '{"path":7}');
    expect(await malformed.json()).toMatchObject({ message: expect.stringContaining("path") });
    const unknown = await post("/api/nothing", "{}");
    expect(unknown.status).toBe(404);
    const failed = await post("/api/mutation", '{"path":"messages:fail","args":[{"channel":"a"}]}');
    expect(failed.status).toBe(560);
  });
});
