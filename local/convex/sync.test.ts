import { makeFunctionReference } from "convex/server";
import { WebSocket } from "ws";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, TestDeployment } from "./testing/fixture.ts";

const send = makeFunctionReference<"mutation">("messages:send");
const edit = makeFunctionReference<"mutation">("messages:edit");
const refuse = makeFunctionReference<"mutation">("messages:refuse");
const increment = makeFunctionReference<"mutation">("counters:increment");
const list = makeFunctionReference<"query">("messages:list");
const count = makeFunctionReference<"query">("messages:count");
const value = makeFunctionReference<"query">("counters:value");
const latest = makeFunctionReference<"query">("messages:latest");
const across = makeFunctionReference<"action">("runtimes:across");

let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ pingMs: 200 });
});

afterAll(async () => await deployment.close());

/** Subscribes and keeps every result that arrives. */
function watch(query: typeof list, args: Record<string, unknown>): unknown[] {
  const seen: unknown[] = [];
  deployment.client().onUpdate(query, args, (result) => seen.push(result));
  return seen;
}

const arrived = (seen: unknown[], wanted: number): Promise<unknown> =>
  eventually(
    () => Promise.resolve(seen.length),
    (length) => length >= wanted,
  );

describe("subscriptions", () => {
  it("deliver a first result and then every change of what the query read", async () => {
    const seen = watch(count, { channel: "live" });
    await arrived(seen, 1);
    await deployment.http.mutation(send, { channel: "live", body: "1" });
    await arrived(seen, 2);
    await deployment.http.mutation(send, { channel: "live", body: "2" });
    await arrived(seen, 3);
    expect(seen).toEqual([0, 1, 2]);
  });

  it("do not run again for writes outside of the key ranges that were read", async () => {
    const before = await totals("messages:latest");
    const seen = watch(latest, { channel: "mine" });
    await arrived(seen, 1);
    for (let i = 0; i < 5; i++) await deployment.http.mutation(send, { channel: `not mine ${i}`, body: "x" });
    const id = await deployment.http.mutation(send, { channel: "mine", body: "a" });
    await arrived(seen, 2);
    await deployment.http.mutation(edit, { id, body: "b" });
    await arrived(seen, 3);
    expect(await totals("messages:latest")).toBe(before + 3);
  });

  it("run once however many clients ask the same", async () => {
    const many = Array.from({ length: 5 }, () => watch(value, { name: "shared" }));
    for (const seen of many) await arrived(seen, 1);
    const before = await totals("counters:value");
    await deployment.http.mutation(increment, { name: "shared" });
    for (const seen of many) await arrived(seen, 2);
    expect(await totals("counters:value")).toBe(before + 1);
  });

  it("show a client its own mutation before the mutation resolves", async () => {
    const client = deployment.client();
    const seen: unknown[] = [];
    client.onUpdate(value, { name: "own" }, (result) => seen.push(result));
    await arrived(seen, 1);
    for (let i = 1; i <= 5; i++) {
      expect(await client.mutation(increment, { name: "own" })).toBe(i);
      expect(seen.at(-1)).toBe(i);
    }
  });

  it("report a query that fails and recover with it", async () => {
    const failures: Error[] = [];
    const none = makeFunctionReference<"query">("messages:none");
    deployment.client().onUpdate(
      none,
      {},
      () => undefined,
      (error) => failures.push(error),
    );
    await arrived(failures, 1);
    expect(failures[0]!.message).toContain("Could not find public function");
  });

  it("keep a reactive page's end where it was", async () => {
    const page = makeFunctionReference<"query">("messages:page");
    for (const body of ["a", "b", "c"]) await deployment.http.mutation(send, { channel: "page", body });
    const seen = watch(page, { channel: "page", paginationOpts: { numItems: 2, cursor: null } }) as {
      page: { _id: string; body: string }[];
    }[];
    await arrived(seen, 1);
    const removed = seen[0]!.page[0]!._id;
    await deployment.http.mutation(makeFunctionReference<"mutation">("messages:remove"), { id: removed });
    await arrived(seen, 2);
    expect(seen[1]!.page.map(({ body }) => body)).toEqual(["b"]);
  });
});

describe("requests over the socket", () => {
  it("run mutations in order and actions beside them", async () => {
    const client = deployment.client();
    const results = await Promise.all(
      Array.from({ length: 20 }, () => client.mutation(increment, { name: "ordered" })),
    );
    expect(results).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(await client.action(across, { name: "socket" })).toMatchObject({ value: 1 });
  });

  it("carry a ConvexError's data", async () => {
    await expect(deployment.client().mutation(refuse, { channel: "x" })).rejects.toMatchObject({
      data: { code: "refused", channel: "x" },
    });
  });

  it("do a mutation once when a client sends it again after a reconnect", async () => {
    const request = {
      type: "Mutation",
      requestId: 7,
      udfPath: "counters:increment",
      args: [{ name: "once" }],
    };
    for (let connection = 0; connection < 3; connection++) {
      const reply = await rawRequest("session-once", request);
      expect(reply).toMatchObject({ type: "MutationResponse", success: true, result: 1 });
    }
    await rawRequest("session-other", request);
    expect(await deployment.http.query(value, { name: "once" })).toBe(2);
  });

  it("end the session of a client that does not speak the protocol", async () => {
    const socket = new WebSocket(syncUrl());
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send('{"type":"Nonsense"}');
    const message = await new Promise<string>((resolve) =>
      socket.once("message", (data: Buffer) => resolve(data.toString())),
    );
    expect(JSON.parse(message)).toMatchObject({ type: "FatalError" });
    await new Promise((resolve) => socket.once("close", resolve));
  });

  it("hear from the server even when nothing happens", async () => {
    const socket = new WebSocket(syncUrl());
    const message = await new Promise<string>((resolve) =>
      socket.once("message", (data: Buffer) => resolve(data.toString())),
    );
    expect(JSON.parse(message)).toEqual({ type: "Ping" });
    socket.close();
  });
});

function syncUrl(): string {
  return `${deployment.convex.url.replace("http", "ws")}/api/1.48.0/sync`;
}

/** Connects as a session, sends one request, and drops the connection after the reply. */
async function rawRequest(sessionId: string, request: object): Promise<unknown> {
  const socket = new WebSocket(syncUrl());
  await new Promise((resolve) => socket.once("open", resolve));
  socket.send(JSON.stringify({ type: "Connect", sessionId, connectionCount: 0, lastCloseReason: null }));
  socket.send(JSON.stringify(request));
  const reply = await new Promise((resolve) => {
    socket.on("message", (data: Buffer) => {
      const message = JSON.parse(data.toString()) as { type: string };
      if (message.type === "MutationResponse") resolve(message);
    });
  });
  socket.terminate();
  return reply;
}

/** How often a function has run since the deployment began. */
async function totals(path: string): Promise<number> {
  const response = await fetch(`${deployment.convex.url}/api/local/function_metrics`, {
    headers: { authorization: `Convex ${deployment.target.adminKey}` },
  });
  const { functions } = (await response.json()) as { functions: Record<string, { calls: number }> };
  return functions[path]?.calls ?? 0;
}
