import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { makeFunctionReference } from "convex/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { uploadToken } from "./runtime/files.ts";
import { eventually, TestDeployment } from "./testing/fixture.ts";

let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start();
});

afterAll(async () => await deployment.close());

const mutate = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.mutation(makeFunctionReference<"mutation">(path), args);
const query = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.query(makeFunctionReference<"query">(path), args);

async function upload(
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const url = (await mutate("files:uploadUrl")) as string;
  return await fetch(url, { method: "POST", body, headers: { "content-type": "image/png", ...headers } });
}

describe("file storage", () => {
  it("takes an upload, describes it and gives the same bytes back", async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
    const { storageId } = (await (await upload(bytes)).json()) as { storageId: string };
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(await query("files:metadata", { id: storageId })).toMatchObject({
      _id: storageId,
      size: bytes.length,
      contentType: "image/png",
      sha256,
    });
    const response = await fetch((await query("files:url", { id: storageId })) as string);
    expect(response.headers.get("content-type")).toBe("image/png");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  it("stores and reads from an action", async () => {
    const run = makeFunctionReference<"action">("files:roundTrip");
    expect(await deployment.http.action(run, { text: "héllo" })).toMatchObject({
      text: "héllo",
      type: "text/plain",
    });
  });

  it("deletes the document, the URL and the bytes", async () => {
    const { storageId } = (await (await upload(Uint8Array.of(1, 2, 3))).json()) as { storageId: string };
    const url = (await query("files:url", { id: storageId })) as string;
    await mutate("files:remove", { id: storageId });
    expect(await query("files:url", { id: storageId })).toBeNull();
    expect((await fetch(url)).status).toBe(404);
    const blob = url.split("/").at(-1)!;
    const blobs = () => Promise.resolve(readdirSync(join(deployment.state, "files")));
    await eventually(blobs, (names) => !names.includes(blob));
    await expect(mutate("files:remove", { id: storageId })).rejects.toThrow(/does not exist/);
  });

  it("keeps no file of a mutation that throws", async () => {
    const before = (await query("files:all")) as unknown[];
    await expect(mutate("files:storeAndThrow", { text: "gone" })).rejects.toThrow("must not stay");
    expect(await query("files:all")).toHaveLength(before.length);
  });

  it("refuses a forged or expired upload URL and bytes that do not match their digest", async () => {
    const base = `${deployment.convex.url}/api/storage/upload`;
    const attempts = ["", "?token=x", `?token=${uploadToken("guessed", Date.now() + 1_000)}`];
    for (const attempt of attempts)
      expect((await fetch(base + attempt, { method: "POST", body: "x" })).status).toBe(401);
    const mismatch = await upload(Uint8Array.of(1), {
      digest: `sha-256=${Buffer.alloc(32).toString("base64")}`,
    });
    expect(mismatch.status).toBe(400);
    expect((await fetch(`${deployment.convex.url}/api/storage/../../admin.key`)).status).toBe(404);
  });
});

describe("HTTP actions", () => {
  const site = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`${deployment.convex.siteUrl}${path}`, init);

  it("receive method, headers and body, and answer with status, headers and body", async () => {
    const response = await site("/echo", { method: "POST", body: "shout", headers: { "x-test": "seen" } });
    expect(response.status).toBe(201);
    expect(response.headers.get("x-seen")).toBe("seen");
    expect(await response.text()).toBe("SHOUT");
  });

  it("run mutations and schedule functions", async () => {
    expect(await (await site("/bump?name=via-http", { method: "POST" })).json()).toEqual({ ok: true });
    const value = () => query("counters:value", { name: "via-http" });
    await eventually(value, (n) => n === 2);
  });

  it("are found by prefix, stream their body, and are 404 for an unknown path or method", async () => {
    expect(await (await site("/files/a/b.txt")).text()).toBe("/files/a/b.txt");
    expect(await (await site("/stream")).text()).toBe("one two three");
    expect((await site("/echo")).status).toBe(404);
    expect((await site("/none")).status).toBe(404);
  });

  it("answer 500 when they throw", async () => {
    const response = await site("/throw");
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ message: expect.stringContaining("http boom") });
  });
});
