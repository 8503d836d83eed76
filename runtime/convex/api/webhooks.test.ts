import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import { storeAnswer, storeNotice } from "../replies/outbox.ts";
import { fromBase64, hmacSha256, toBase64 } from "../secrets/digest.ts";
import { callApi, makeKey } from "../testing/api.fixture.ts";
import { elapse, NOW, openWorld, type World } from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const hello = { conversationId: "c1", agentKey: "default", userId: "ada", text: "hello" };
const post = (t: World, key: string, path: string, body?: unknown, headers?: Record<string, string>) =>
  callApi(t, { method: "POST", path, key, body, headers });
const get = (t: World, key: string, path: string) => callApi(t, { path, key });

/** What `complete` does to a message, as far as a consumer sees it. */
async function answerIt(t: World, messageId: string, text: string): Promise<void> {
  await t.run(async (ctx) => {
    const message = await ctx.db.get("messageQueue", messageId as Id<"messageQueue">);
    if (message === null) throw new Error("no message");
    const conversation = await ctx.db.get("conversations", message.conversation);
    const seq = conversation?.nextHistorySeq ?? 0;
    await ctx.db.insert("conversationMessages", {
      conversation: message.conversation,
      seq,
      role: "assistant",
      content: text,
      at: Date.now(),
    });
    await ctx.db.patch("conversations", message.conversation, { nextHistorySeq: seq + 1 });
    await ctx.db.patch("messageQueue", message._id, {
      status: "done",
      answerText: text,
      finishedAt: Date.now(),
    });
    await storeAnswer(ctx, message, { text });
  });
}

describe("outgoing webhooks", () => {
  /** A receiver that checks signatures as Standard Webhooks describes. */
  function receiver(statuses: number[] = []) {
    // oxlint-disable-next-line typescript/no-explicit-any -- JSON from the wire, probed in assertions
    const seen: Array<{ id: string; body: any; signature: string; signed: string }> = [];
    vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
      const headers = new Headers(init.headers);
      const id = headers.get("webhook-id") ?? "";
      seen.push({
        id,
        body: JSON.parse(init.body as string),
        signature: headers.get("webhook-signature") ?? "",
        signed: `${id}.${headers.get("webhook-timestamp")}.${init.body as string}`,
      });
      return new Response(null, { status: statuses.shift() ?? 200 });
    });
    return seen;
  }

  test("tell of an endless answer as much as is kept of it, and of many large ones one after the other", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const endpoint = await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const seen = receiver();
    const { json } = await post(t, serviceKey, "/messages", hello);
    await t.run(async (ctx) => {
      const message = await ctx.db.get("messageQueue", json.messageId as Id<"messageQueue">);
      if (message !== null) await storeAnswer(ctx, message, { text: "\u4f60".repeat(1_500_000) });
    });
    await elapse(t, 2_000);
    expect(seen.map(({ body }) => body.data.answer.length)).toEqual([100_000]);

    // Forty of them, whose attempts were lost with their actions.
    const [event] = await t.run((ctx) => ctx.db.query("webhookEvents").collect());
    if (event === undefined) throw new Error("no event");
    const { _id, _creationTime, ...fields } = event;
    for (let i = 0; i < 60; i += 1) {
      const lost = { ...fields, eventId: `evt_${i}`, state: "pending" as const, nextAttemptAt: 1 };
      await t.run((ctx) => ctx.db.insert("webhookEvents", lost));
    }
    const { events } = (await get(t, serviceKey, `/webhook-endpoints/${endpoint.json.endpointId}/events`))
      .json;
    expect(events.length).toBeGreaterThan(0);
    for (let sweep = 0; sweep < 10; sweep += 1) {
      await t.mutation(internal.api.events.sweepEvents, {});
      await elapse(t, 1_000);
    }
    expect(seen).toHaveLength(61);
    vi.setSystemTime(NOW + 30 * 24 * 60 * 60_000);
    await t.mutation(internal.api.events.pruneEvents, {});
    for (let run = 0; run < 12; run += 1) await elapse(t, 1_000);
    expect(await t.run((ctx) => ctx.db.query("webhookEvents").first())).toBeNull();
  });

  test("tell of an answer, signed, again until they are taken", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const endpoint = await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const seen = receiver([500, 302, 200]);
    const { json } = await post(t, serviceKey, "/messages", hello);
    await answerIt(t, json.messageId, "hi Ada");
    await elapse(t, 40_000);
    expect(seen).toHaveLength(3);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(1);
    expect(seen[0]?.body).toMatchObject({
      type: "message.answered",
      data: { messageId: json.messageId, userId: "ada", answer: "hi Ada" },
    });
    const key = fromBase64(endpoint.json.signingSecret.replace("whsec_", ""));
    for (const { signed, signature } of seen) {
      expect(signature).toBe(`v1,${toBase64(await hmacSha256(key, signed))}`);
    }
    const events = await get(t, serviceKey, `/webhook-endpoints/${endpoint.json.endpointId}/events`);
    expect(events.json.events).toMatchObject([{ state: "delivered", attempts: 3 }]);
  });

  test("are signed by both secrets while one is rotated, and by the new one alone afterwards", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const made = await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const path = `/webhook-endpoints/${made.json.endpointId}/rotate-secret`;
    const rotate = () => post(t, serviceKey, path, { graceMs: 60_000 }, { "Idempotency-Key": "r1" });
    // Thrice, as a client does whose answers are lost: the receiver still has the former one of the first.
    const [rotated, ...repeated] = [...(await Promise.all([rotate(), rotate()])), await rotate()];
    for (const { json } of repeated) expect(json).toEqual(rotated?.json);
    expect(rotated?.json).toEqual({
      signingSecret: expect.stringMatching(/^whsec_/),
      previousUntil: NOW + 60_000,
    });
    const seen = receiver();
    /** Which of the two secrets have signed the event of the next answer. */
    const signedBy = async (conversationId: string): Promise<string[]> => {
      const { json } = await post(t, serviceKey, "/messages", { ...hello, conversationId });
      await answerIt(t, json.messageId, "hi");
      await elapse(t, 2_000);
      const { signed, signature } = seen.at(-1) as (typeof seen)[number];
      const by: string[] = [];
      for (const [name, secret] of [
        ["old", made.json.signingSecret],
        ["new", rotated?.json.signingSecret],
      ]) {
        const key = fromBase64(secret.replace("whsec_", ""));
        const wanted = `v1,${toBase64(await hmacSha256(key, signed))}`;
        if (signature.split(" ").includes(wanted)) by.push(name);
      }
      expect(signature.split(" ")).toHaveLength(by.length);
      return by;
    };
    expect(await signedBy("c1")).toEqual(["old", "new"]);
    vi.setSystemTime(NOW + 60_000);
    expect(await signedBy("c2")).toEqual(["new"]);
  });

  test("have one endpoint however often it is asked for with one key, and whatever an earlier request left", async () => {
    const t = await openWorld();
    const { keyId, serviceKey } = await makeKey(t, "acme");
    const url = "https://acme.example/hook";
    const principal = { keyId, companyId: "acme", agentKeys: null };
    // A request that ended between its two steps.
    await t.mutation(internal.api.endpoints.storeEndpoint, { principal, url, idempotencyKey: "e1" });
    const create = () => post(t, serviceKey, "/webhook-endpoints", { url }, { "Idempotency-Key": "e1" });
    const [first, ...others] = [...(await Promise.all([create(), create()])), await create()];
    expect(first?.json.signingSecret).toMatch(/^whsec_/);
    for (const { json } of others) expect(json).toEqual(first?.json);
    expect((await get(t, serviceKey, "/webhook-endpoints")).json.endpoints).toMatchObject([
      { enabled: true },
    ]);
  });

  test("are given up after ten attempts, listed for operators, and begin anew when they say so", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const statuses = Array.from({ length: 10 }, () => 500);
    const seen = receiver(statuses);
    const { json } = await post(t, serviceKey, "/messages", hello);
    await answerIt(t, json.messageId, "hi Ada");
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const [event] = await t.run((ctx) => ctx.db.query("webhookEvents").collect());
      if (event?.state === "pending") vi.setSystemTime(Math.max(Date.now(), event.nextAttemptAt));
      if (event !== undefined) await t.action(internal.api.events.deliverEvent, { id: event._id });
    }
    expect(seen).toHaveLength(10);
    const listed = async () => (await t.query(internal.factory.listWebhookEvents, {})).events;
    const [failed] = await listed();
    expect(failed).toMatchObject({
      attempts: 10,
      lastError: "HTTP 500",
      endpoint: { companyId: "acme", url: "https://acme.example/hook" },
    });
    if (failed === undefined) throw new Error("nothing is listed");
    expect(await t.mutation(internal.factory.retryWebhookEvent, { id: failed.id })).toBe(true);
    await elapse(t, 1_000);
    expect(seen).toHaveLength(11);
    expect(await listed()).toEqual([]);
    expect(await t.mutation(internal.factory.retryWebhookEvent, { id: failed.id })).toBe(false);
  });

  test("end when the receiver says that it is gone", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const seen = receiver([410]);
    const { json } = await post(t, serviceKey, "/messages", hello);
    await answerIt(t, json.messageId, "hi");
    await elapse(t, 40_000);
    expect(seen).toHaveLength(1);
  });

  test("are not sent to a URL that the rules have come to forbid", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    await t.run(async (ctx) => {
      const endpoint = await ctx.db.query("webhookEndpoints").first();
      if (endpoint !== null)
        await ctx.db.patch("webhookEndpoints", endpoint._id, { url: "http://127.0.0.1:1/x" });
    });
    const seen = receiver();
    const { json } = await post(t, serviceKey, "/messages", hello);
    await answerIt(t, json.messageId, "hi");
    await elapse(t, 2_000);
    expect(seen).toEqual([]);
    expect((await t.query(internal.factory.listWebhookEvents, {})).events).toMatchObject([
      { lastError: "url must start with https://" },
    ]);
  });

  test("tell of a message that was given up, and of one that was cancelled", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    await post(t, serviceKey, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const seen = receiver();
    const first = await post(t, serviceKey, "/messages", hello);
    await post(t, serviceKey, `/messages/${first.json.messageId}/cancel`);
    const second = await post(t, serviceKey, "/messages", hello);
    await t.run(async (ctx) => {
      const message = await ctx.db.get("messageQueue", second.json.messageId as Id<"messageQueue">);
      if (message === null) throw new Error("no message");
      const { destination, _id: messageId } = message;
      await storeNotice(ctx, {
        conversation: message,
        destination,
        text: "sorry",
        reason: "given_up",
        messageId,
      });
    });
    await elapse(t, 40_000);
    expect(seen.map(({ body }) => body.type)).toEqual(["message.cancelled", "message.failed"]);
  });

  test("may not point into private networks, and are few", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    for (const url of [
      "http://acme.example",
      "https://127.0.0.1/x",
      "https://10.1.2.3",
      "https://[::1]/",
      "https://metadata.internal",
      "https://user:pw@acme.example",
      "nonsense",
    ]) {
      expect([url, (await post(t, serviceKey, "/webhook-endpoints", { url })).status]).toEqual([url, 400]);
    }
    const statuses = [];
    for (let index = 0; index < 6; index += 1) {
      statuses.push(
        (await post(t, serviceKey, "/webhook-endpoints", { url: `https://acme.example/${index}` })).status,
      );
    }
    expect(statuses).toEqual([201, 201, 201, 201, 201, 409]);
  });
});
