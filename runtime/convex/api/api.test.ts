import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import { storeAnswer } from "../replies/outbox.ts";
import { callApi, makeKey } from "../testing/api.fixture.ts";
import {
  addAgent,
  deliver,
  elapse,
  messageUpdate,
  NOW,
  openWorld,
  type World,
} from "../testing/channels.fixture.ts";

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

describe("what Convex cannot store is refused with its reason", () => {
  test.each([
    ["a text with half of a surrogate pair", { text: "half \ud83d" }, /body: .*surrogate/],
    ["a key that is no ASCII", { metadata: { "Schl\u00fcssel": "x" } }, /body\.metadata/],
    ["a key of the system's", { metadata: { $ref: "x" } }, /body\.metadata/],
    ["a key that begins with an underscore", { metadata: { _id: "x" } }, /body\.metadata/],
    ["an empty key", { metadata: { "": "x" } }, /body\.metadata/],
    [
      "more facts than 32",
      { metadata: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, "x"])) },
      /body\.metadata.*32/,
    ],
  ])("%s", async (_what, changes, problem) => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const refused = await post(t, serviceKey, "/messages", { ...hello, ...changes });
    expect(refused).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_argument", retryable: false } },
    });
    expect(refused.json.error.message).toMatch(problem);
    expect(await t.run((ctx) => ctx.db.query("messageQueue").collect())).toEqual([]);
  });

  test("and what it can is taken", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const metadata = { "plan name": "x", "a.b-c/d": "\u00fc\u{1f600}", Z9: "" };
    const sent = await post(t, serviceKey, "/messages", { ...hello, text: "\u{1f600}", metadata });
    expect(sent.status).toBe(202);
    expect(await t.run((ctx) => ctx.db.query("messageQueue").collect())).toMatchObject([
      { payload: { metadata } },
    ]);
  });
});

test("a history of the longest messages is read page by page, none left out", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  await post(t, serviceKey, "/messages", hello);
  const conversation = await t.run((ctx) => ctx.db.query("conversations").first());
  if (conversation === null) throw new Error("no conversation");
  for (let seq = 0; seq < 70; seq += 1) {
    const content = "\u4f60".repeat(100_000);
    const row = { conversation: conversation._id, seq, role: "user" as const, content, at: 1 };
    await t.run((ctx) => ctx.db.insert("conversationMessages", row));
  }
  const seen: number[] = [];
  for (let after = -1, more = true; more;) {
    const { status, json } = await get(t, serviceKey, `/conversations/c1/messages?limit=200&after=${after}`);
    expect(status).toBe(200);
    seen.push(...json.messages.map(({ seq }: { seq: number }) => seq));
    ({ next: after, more } = json);
  }
  expect(seen).toEqual(Array.from({ length: 70 }, (_, seq) => seq));
});

describe("a message over the API", () => {
  test("is accepted, answered, and read back", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const sent = await post(t, serviceKey, "/messages", hello);
    expect(sent.status).toBe(202);
    expect(sent.json).toMatchObject({ conversationId: "api:acme:c1", duplicate: false });
    const waiting = await get(t, serviceKey, `/messages/${sent.json.messageId}`);
    expect(waiting.json).toMatchObject({
      status: "queued",
      answer: null,
      userId: "ada",
      delivery: { state: "none" },
    });
    await answerIt(t, sent.json.messageId, "hi Ada");
    expect((await get(t, serviceKey, `/messages/${sent.json.messageId}?waitMs=1000`)).json).toMatchObject({
      status: "done",
      answer: "hi Ada",
    });
    for (const id of ["c1", "api:acme:c1"]) {
      const history = await get(t, serviceKey, `/conversations/${encodeURIComponent(id)}/messages`);
      expect(history.json).toMatchObject({
        messages: [{ role: "assistant", content: "hi Ada", seq: 0 }],
        next: 0,
        more: false,
      });
    }
  });

  test("with an Idempotency-Key is accepted once", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const headers = { "Idempotency-Key": "order-7" };
    const first = await post(t, serviceKey, "/messages", hello, headers);
    const second = await post(t, serviceKey, "/messages", hello, headers);
    expect(second.json).toEqual({ ...first.json, duplicate: true });
  });

  test("with an Idempotency-Key that accepted something else is refused", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const headers = { "Idempotency-Key": "order-7" };
    await post(t, serviceKey, "/messages", hello, headers);
    for (const other of [{ text: "another question" }, { userId: "bob" }]) {
      const { status, json } = await post(t, serviceKey, "/messages", { ...hello, ...other }, headers);
      expect(status).toBe(409);
      expect(json.error.message).toBe(
        "This Idempotency-Key was used for another message of the conversation",
      );
    }
    expect(await t.run(async (ctx) => (await ctx.db.query("messageQueue").collect()).length)).toBe(1);
  });

  test("to a conversation that is full is refused with a time to come back", async () => {
    const t = await openWorld();
    await t.run(async (ctx) => {
      const row = await ctx.db.query("runtimeConfig").first();
      if (row === null) throw new Error("no config");
      await ctx.db.patch("runtimeConfig", row._id, {
        config: { ...row.config, queue: { ...row.config.queue, conversationBacklogMax: 1 } },
      });
    });
    const { serviceKey } = await makeKey(t, "acme");
    await post(t, serviceKey, "/messages", hello);
    const refused = await post(t, serviceKey, "/messages", hello);
    expect([refused.status, refused.json.error.code, refused.json.error.retryable]).toEqual([
      429,
      "backlog_full",
      true,
    ]);
    expect(refused.headers.get("Retry-After")).toMatch(/^\d+$/);
  });

  test("can be cancelled while it waits, and reads so however often that is asked; one that has ended cannot", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const cancel = async (messageId: string) =>
      (await post(t, serviceKey, `/messages/${messageId}/cancel`)).json;
    const waiting = await post(t, serviceKey, "/messages", hello);
    for (let asked = 0; asked < 2; asked += 1)
      expect(await cancel(waiting.json.messageId)).toEqual({ outcome: "cancelled" });
    const ended = await post(t, serviceKey, "/messages", { ...hello, conversationId: "c2" });
    await answerIt(t, ended.json.messageId, "hi Ada");
    expect(await cancel(ended.json.messageId)).toEqual({ outcome: "none" });
  });

  test("to an unknown agent is refused in the documented shape", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const { status, json } = await post(t, serviceKey, "/messages", { ...hello, agentKey: "none" });
    expect(status).toBe(404);
    expect(json).toEqual({
      error: {
        code: "not_found",
        message: "Agent profile 'none' not found or disabled",
        retryable: false,
        requestId: expect.any(String),
      },
    });
  });

  test("with several mistakes is told of all of them", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const { status, json } = await post(t, serviceKey, "/messages", {
      ...hello,
      text: "",
      priority: 1.5,
      extra: 1,
    });
    expect(status).toBe(400);
    for (const field of ["body.text", "body.priority", "extra"]) expect(json.error.message).toContain(field);
  });
});

describe("keys", () => {
  test("missing, malformed, unknown, revoked and expired ones read the same", async () => {
    const t = await openWorld();
    const { keyId, serviceKey } = await makeKey(t, "acme");
    const expired = await makeKey(t, "acme", { expiresAt: NOW });
    await t.mutation(internal.api.keys.revokeServiceKey, { keyId });
    const forged = `${serviceKey.slice(0, -1)}${serviceKey.endsWith("A") ? "B" : "A"}`;
    for (const key of [null, "x", forged, serviceKey, expired.serviceKey]) {
      const { status, json } = await callApi(t, { path: "/agents", key });
      expect(status).toBe(401);
      expect(json.error.message).toBe("Unknown, expired or revoked service key");
    }
  });

  test("rotate with a grace for the former one", async () => {
    const t = await openWorld();
    const { keyId, serviceKey } = await makeKey(t, "acme");
    const rotated = await t.action(internal.api.keys.rotateServiceKey, { keyId, graceMs: 60_000 });
    const statuses = async () => [
      (await get(t, serviceKey, "/agents")).status,
      (await get(t, rotated.serviceKey, "/agents")).status,
    ];
    expect(await statuses()).toEqual([200, 200]);
    vi.setSystemTime(NOW + 60_000);
    expect(await statuses()).toEqual([401, 200]);
  });

  test("do only what their scopes say", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme", { scopes: ["agents:read"] });
    expect((await get(t, serviceKey, "/agents")).status).toBe(200);
    const refused = await post(t, serviceKey, "/messages", hello);
    expect(refused.status).toBe(403);
    expect(refused.json.error.message).toBe("This service key lacks the scope 'messages:write'");
  });

  test("reach only the agents that they name", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    const { serviceKey } = await makeKey(t, "acme", { agentKeys: ["b"] });
    expect((await get(t, serviceKey, "/agents")).json.agents).toMatchObject([{ agentKey: "b" }]);
    expect((await post(t, serviceKey, "/messages", hello)).status).toBe(403);
    expect((await post(t, serviceKey, "/pairing-codes", { userId: "ada", agentKey: "default" })).status).toBe(
      403,
    );
    const put = { method: "PUT", path: "/users/ada/binding", key: serviceKey, body: { agentKey: "default" } };
    expect((await callApi(t, put)).status).toBe(403);
  });

  test("are limited by the minute and told when to come back", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme", { requestsPerMinute: 2 });
    const statuses = [];
    for (let index = 0; index < 3; index += 1) statuses.push((await get(t, serviceKey, "/agents")).status);
    expect(statuses).toEqual([200, 200, 429]);
    const refused = await get(t, serviceKey, "/agents");
    expect(refused.headers.get("Retry-After")).toMatch(/^\d+$/);
    expect(refused.json.error).toMatchObject({ code: "rate_limited", retryable: true });
    const retryAfterMs = Number(refused.headers.get("Retry-After")) * 1_000;
    vi.setSystemTime(NOW + retryAfterMs - 1);
    expect((await get(t, serviceKey, "/agents")).status).toBe(429);
    vi.setSystemTime(NOW + retryAfterMs);
    expect((await get(t, serviceKey, "/agents")).status).toBe(200);
  });

  test("are stored as hashes", async () => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const rows = await t.run((ctx) => ctx.db.query("serviceKeys").collect());
    expect(JSON.stringify(rows)).not.toContain(serviceKey.slice(-20));
  });
});

describe("between companies", () => {
  test("nothing of one is found with the key of another", async () => {
    const t = await openWorld();
    const acme = (await makeKey(t, "acme")).serviceKey;
    const evil = (await makeKey(t, "evil")).serviceKey;
    const { json } = await post(t, acme, "/messages", hello);
    const job = await post(t, acme, "/push-jobs", {
      userId: "ada",
      title: "t",
      text: "x",
      timeZone: "UTC",
      schedule: { kind: "manual" },
    });
    const endpoint = await post(t, acme, "/webhook-endpoints", { url: "https://acme.example/hook" });
    const broadcast = await post(t, acme, "/broadcasts", { title: "t", text: "x" });
    const pairing = await post(t, acme, "/pairing-codes", { userId: "ada", agentKey: "default" });
    await callApi(t, { method: "PUT", path: "/users/ada/binding", key: acme, body: { agentKey: "default" } });
    const before = await t.run(async (ctx) => JSON.stringify(await ctx.db.query("pushJobs").collect()));

    const { jobId } = job.json;
    const tries: Array<[string, string, unknown?]> = [
      ["GET", `/messages/${json.messageId}`],
      ["POST", `/messages/${json.messageId}/cancel`],
      ["GET", "/conversations/api:acme:c1/messages"],
      ["GET", "/conversations/c1/messages"],
      ["PATCH", `/push-jobs/${jobId}`, { enabled: false }],
      ["DELETE", `/push-jobs/${jobId}`],
      ["POST", `/push-jobs/${jobId}/trigger`],
      ["GET", `/push-jobs/${jobId}/dispatches`],
      ["DELETE", `/webhook-endpoints/${endpoint.json.endpointId}`],
      ["GET", `/webhook-endpoints/${endpoint.json.endpointId}/events`],
      ["GET", `/broadcasts/${broadcast.json.broadcastId}`],
      ["POST", "/pairing-codes/status", { code: pairing.json.code }],
    ];
    for (const [method, path, body] of tries) {
      expect([path, (await callApi(t, { method, path, key: evil, body })).status]).toEqual([path, 404]);
    }
    expect((await get(t, evil, "/users/ada/binding")).json).toEqual({ active: null, history: [] });
    expect((await get(t, evil, "/users/ada/push-jobs")).json).toEqual({ jobs: [] });
    expect((await get(t, evil, "/webhook-endpoints")).json).toEqual({ endpoints: [] });
    expect((await callApi(t, { method: "DELETE", path: "/users/ada/binding", key: evil })).json).toEqual({
      revoked: 0,
    });
    expect(await t.run(async (ctx) => JSON.stringify(await ctx.db.query("pushJobs").collect()))).toBe(before);
    await elapse(t, 40_000);
  });

  test("the same conversation id is two conversations", async () => {
    const t = await openWorld();
    const acme = (await makeKey(t, "acme")).serviceKey;
    const evil = (await makeKey(t, "evil")).serviceKey;
    const first = await post(t, acme, "/messages", hello);
    const second = await post(t, evil, "/messages", { ...hello, conversationId: "c1" });
    const third = await post(t, evil, "/messages", { ...hello, conversationId: "api:acme:c1" });
    expect([first, second, third].map(({ json }) => json.conversationId)).toEqual([
      "api:acme:c1",
      "api:evil:c1",
      "api:evil:api:acme:c1",
    ]);
  });

  test("no company's id and conversation together spell another's", async () => {
    const t = await openWorld();
    const plain = (await makeKey(t, "a")).serviceKey;
    const longer = (await makeKey(t, "a:b")).serviceKey;
    await post(t, plain, "/messages", { ...hello, conversationId: "b:c" });
    const sent = await post(t, longer, "/messages", { ...hello, conversationId: "c" });
    expect(sent.json.conversationId).toBe("api:a%3Ab:c");
    expect((await get(t, longer, `/messages/${sent.json.messageId}`)).json).toMatchObject({
      status: "queued",
    });
    const conversations = await t.run((ctx) => ctx.db.query("conversations").collect());
    expect(conversations.map(({ companyId }) => companyId)).toEqual(["a", "a:b"]);
  });

  test("a binding that names a conversation of another company puts nothing into it", async () => {
    const t = await openWorld();
    const acme = (await makeKey(t, "acme")).serviceKey;
    const evil = (await makeKey(t, "evil")).serviceKey;
    const { json } = await post(t, acme, "/messages", hello);
    const binding = { companyId: "evil", consumerUserId: "eve", agentKey: "default" };
    await t.mutation(internal.identity.bindings.bindUserAgent, {
      ...binding,
      conversationId: json.conversationId,
    });
    const words = { title: "t", text: "x", timeZone: "UTC", schedule: { kind: "manual" } };
    const job = await post(t, evil, "/push-jobs", { userId: "eve", ...words });
    const refused = await post(t, evil, `/push-jobs/${job.json.jobId}/trigger`);
    expect(refused.status).toBe(409);
    expect(refused.json.error.message).toBe("Conversation 'api:acme:c1' belongs to another company");
    expect(await t.run((ctx) => ctx.db.query("messageQueue").collect())).toHaveLength(1);
    await elapse(t, 5_000);
  });
});

test("people: pair, bind, look, revoke", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  const made = await post(t, serviceKey, "/pairing-codes", { userId: "ada", agentKey: "default" });
  expect(made.status).toBe(201);
  expect(made.json.deepLink).toBe(`https://t.me/helper_bot?start=${made.json.code}`);
  const status = await post(t, serviceKey, "/pairing-codes/status", { code: made.json.code });
  expect(status.json).toMatchObject({ status: "pending", userId: "ada", agentKey: "default" });
  await callApi(t, {
    method: "PUT",
    path: "/users/ada/binding",
    key: serviceKey,
    body: { agentKey: "default" },
  });
  expect((await get(t, serviceKey, "/users/ada/binding")).json.active).toMatchObject({
    agentKey: "default",
    source: "api",
  });
  expect((await callApi(t, { method: "DELETE", path: "/users/ada/binding", key: serviceKey })).json).toEqual({
    revoked: 1,
  });
});

test("messages name a person of Telegram by the company's own id, whoever began them", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  await t.mutation(internal.identity.bindings.bindUserAgent, {
    companyId: "acme",
    consumerUserId: "ada",
    agentKey: "default",
    telegramUserId: "42",
    telegramChatId: "42",
  });
  const words = { title: "Morning", text: "Say hello", schedule: { kind: "manual" }, timeZone: "UTC" };
  const job = await post(t, serviceKey, "/push-jobs", { userId: "ada", ...words });
  await post(t, serviceKey, `/push-jobs/${job.json.jobId}/trigger`);
  expect((await deliver(t, { body: messageUpdate("good morning") })).status).toBe(202);
  const messages = await t.run((ctx) => ctx.db.query("messageQueue").collect());
  expect(messages).toHaveLength(2);
  for (const { _id } of messages)
    expect((await get(t, serviceKey, `/messages/${_id}`)).json.userId).toBe("ada");
});

test("blank ids are refused by the names that the API gives them", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  const blank = await post(t, serviceKey, "/messages", { ...hello, conversationId: " ", userId: " " });
  expect(blank.status).toBe(400);
  expect(blank.json.error.message).toContain(
    "body.conversationId: must not be blank or contain control characters",
  );
  expect(blank.json.error.message).toContain("body.userId: must not be blank or contain control characters");
  const bound = await callApi(t, {
    method: "PUT",
    path: "/users/%20/binding",
    key: serviceKey,
    body: { agentKey: "default" },
  });
  expect(bound.json.error.message).toBe("path.userId: must not be blank or contain control characters");
});

describe("a request that is wrong", () => {
  const job = { userId: "ada", title: "t", text: "x", schedule: { kind: "manual" }, timeZone: "UTC" };

  test.each<[string, object, string[], string[]]>([
    [
      "in a job's own words",
      { ...job, title: "", timeZone: 7 },
      ["body.title: ", "body.timeZone: "],
      ["templateKey"],
    ],
    [
      "in a job from a template",
      { userId: "", templateKey: "hello", timeZone: "UTC" },
      ["body.userId: "],
      ["title", "text"],
    ],
    [
      "deep inside",
      { ...job, schedule: { kind: "monthly", dayOfMonth: "first", time: "09:00" } },
      ["body.schedule.dayOfMonth: "],
      ["templateKey"],
    ],
    ["by a field too many", { ...job, colour: "red" }, ['Unrecognized key: "colour"'], ["templateKey"]],
  ])("%s is told which fields, whatever forms it may take", async (_, body, named, unnamed) => {
    const t = await openWorld();
    const { serviceKey } = await makeKey(t, "acme");
    const { status, json } = await post(t, serviceKey, "/push-jobs", body);
    expect(status).toBe(400);
    for (const field of named) expect(json.error.message).toContain(field);
    for (const field of unnamed) expect(json.error.message).not.toContain(field);
  });
});

test("push: template, job, change, trigger, dispatches", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  const schedule = { kind: "daily", time: "09:30" };
  const template = { templateKey: "hello", title: "Hello", text: "Say hello", schedule };
  expect((await post(t, serviceKey, "/push-templates", template)).status).toBe(201);
  expect((await post(t, serviceKey, "/push-templates", template)).json.error.message).toBe(
    "Template key 'hello' already exists for company",
  );
  const job = await post(t, serviceKey, "/push-jobs", {
    userId: "ada",
    templateKey: "hello",
    timeZone: "Europe/Rome",
  });
  expect(job.status).toBe(201);
  const path = `/push-jobs/${job.json.jobId}`;
  const off = await callApi(t, { method: "PATCH", path, key: serviceKey, body: { enabled: false } });
  expect(off.json).toEqual({ jobId: job.json.jobId, nextRunAt: null });
  const bad = await callApi(t, { method: "PATCH", path, key: serviceKey, body: { timeZone: "Rome" } });
  expect(bad.json.error.message).toBe("Invalid timezone 'Rome'");
  expect((await post(t, serviceKey, `${path}/trigger`)).json).toMatchObject({ outcome: "skipped" });
  expect((await get(t, serviceKey, `${path}/dispatches`)).json.dispatches).toHaveLength(1);
  expect((await callApi(t, { method: "DELETE", path, key: serviceKey })).json).toEqual({ ok: true });
});
