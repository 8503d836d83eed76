/** The client against the real API: this repository's backend on an embedded deployment. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Deployment, startDeployment } from "../testing/deployment.ts";
import { AgentFactoryError, type AgentFactoryClient, createClient } from "./index.ts";

let deployment: Deployment;
let client: AgentFactoryClient;
let other: AgentFactoryClient;

beforeAll(async () => {
  deployment = await startDeployment();
  const { siteUrl } = deployment;
  client = createClient({ siteUrl, serviceKey: await deployment.keyOf("acme") });
  other = createClient({ siteUrl, serviceKey: await deployment.keyOf("globex") });
});
afterAll(async () => {
  await deployment.close();
});

const hello = { conversationId: "c1", agentKey: "default", userId: "ada", text: "hello" };

/** The error that a call ends with. */
async function refusal(call: Promise<unknown>): Promise<AgentFactoryError> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentFactoryError);
  return error as AgentFactoryError;
}

describe("a conversation", () => {
  test("is asked, answered and read back", async () => {
    const { messageId, conversationId, duplicate } = await client.enqueue(hello);
    expect({ conversationId, duplicate }).toEqual({ conversationId: "api:acme:c1", duplicate: false });
    const message = await client.waitForMessage(messageId, { timeoutMs: 30_000 });
    expect(message).toMatchObject({ status: "done", answer: "You said: hello", userId: "ada" });
    const { messages } = await client.listConversationMessages("c1");
    expect(messages.map(({ role, content }) => [role, content])).toEqual([
      ["user", "hello"],
      ["assistant", "You said: hello"],
    ]);
  });

  test("accepts a message once per idempotency key", async () => {
    const message = { ...hello, conversationId: "once", idempotencyKey: "order-7" };
    const first = await client.enqueue(message);
    expect(await client.enqueue(message)).toEqual({ ...first, duplicate: true });
  });

  test("cancels a message that waits", async () => {
    const scheduledFor = Date.now() + 3_600_000;
    const { messageId } = await client.enqueue({ ...hello, conversationId: "later", scheduledFor });
    expect(await client.cancelMessage(messageId)).toEqual({ outcome: "cancelled" });
    expect(await client.waitForMessage(messageId)).toMatchObject({ status: "cancelled", answer: null });
  });

  test("a wait that is over returns the message as it is", async () => {
    const scheduledFor = Date.now() + 3_600_000;
    const { messageId } = await client.enqueue({ ...hello, conversationId: "much later", scheduledFor });
    expect(await client.waitForMessage(messageId, { timeoutMs: 100 })).toMatchObject({ status: "queued" });
  });

  test("is followed answer by answer, resumed from a cursor and left by an abort", async () => {
    const conversationId = "followed / with a slash";
    await client.enqueue({ ...hello, conversationId, text: "one" });
    const leaving = new AbortController();
    const seen: string[] = [];
    let cursor = -1;
    for await (const { content, seq } of client.subscribe(conversationId, { signal: leaving.signal })) {
      seen.push(content);
      cursor = seq;
      if (seen.length === 1) await client.enqueue({ ...hello, conversationId, text: "two" });
      else leaving.abort();
    }
    expect(seen).toEqual(["You said: one", "You said: two"]);
    await client.enqueue({ ...hello, conversationId, text: "three" });
    const resumed = client.subscribe(conversationId, { after: cursor });
    expect((await resumed.next()).value?.content).toBe("You said: three");
    await resumed.return();
  });

  test("an abort ends a request that waits", async () => {
    const { messageId } = await client.enqueue({ ...hello, scheduledFor: Date.now() + 3_600_000 });
    const leaving = new AbortController();
    const waiting = client.getMessage(messageId, { waitMs: 20_000, signal: leaving.signal });
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("a refusal", () => {
  test("carries the API's code, status, hint and request id", async () => {
    const error = await refusal(client.enqueue({ ...hello, agentKey: "nobody" }));
    expect(error).toMatchObject({
      code: "not_found",
      status: 404,
      retryable: false,
      message: "Agent profile 'nobody' not found or disabled",
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  test("names every wrong field", async () => {
    const error = await refusal(client.enqueue({ ...hello, text: "", priority: 1.5 }));
    expect(error).toMatchObject({ code: "invalid_argument", status: 400 });
    expect(error.message).toMatch(/body\.text.*body\.priority/);
  });

  test("meets another company's message, conversation and endpoint as if they did not exist", async () => {
    const { messageId } = await client.enqueue({ ...hello, conversationId: "private" });
    const { endpointId } = await client.createWebhookEndpoint("http://127.0.0.1:9/hook");
    for (const call of [
      other.getMessage(messageId),
      other.cancelMessage(messageId),
      other.listConversationMessages("api:acme:private"),
      other.listWebhookEvents(endpointId),
      other.deleteWebhookEndpoint(endpointId),
    ]) {
      expect(await refusal(call)).toMatchObject({ code: "not_found", status: 404 });
    }
    expect(await client.deleteWebhookEndpoint(endpointId)).toEqual({ ok: true });
  });

  test("of a key without the scope, and of an unknown key", async () => {
    const { siteUrl } = deployment;
    const narrow = createClient({
      siteUrl,
      serviceKey: await deployment.keyOf("acme", { scopes: ["agents:read"] }),
    });
    expect(await narrow.listAgents()).toEqual([{ agentKey: "default", version: "1", enabled: true }]);
    expect(await refusal(narrow.enqueue(hello))).toMatchObject({ code: "forbidden", status: 403 });
    const unknown = createClient({ siteUrl, serviceKey: "afk_0000_0000" });
    expect(await refusal(unknown.listAgents())).toMatchObject({ code: "unauthorized", status: 401 });
  });

  test("of a key that asks too often says how long to wait", async () => {
    const serviceKey = await deployment.keyOf("acme", { requestsPerMinute: 1 });
    const hasty = createClient({ siteUrl: deployment.siteUrl, serviceKey, retry: { attemptsMax: 1 } });
    // A minute may turn between two requests, never between each of four.
    const calls = await Promise.allSettled([1, 2, 3, 4].map(() => hasty.listAgents()));
    const refused = calls.flatMap((call) => (call.status === "rejected" ? [call.reason as unknown] : []));
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ code: "rate_limited", status: 429, retryable: true });
    expect((refused[0] as AgentFactoryError).retryAfterMs).toBeGreaterThan(0);
  });
});

describe("people and push", () => {
  test("a person is bound, read and released", async () => {
    await client.bindUserAgent("bruno", "default");
    expect((await client.getUserAgentBinding("bruno")).active).toMatchObject({
      agentKey: "default",
      source: "api",
    });
    expect((await other.getUserAgentBinding("bruno")).active).toBeNull();
    expect(await client.revokeUserAgentBinding("bruno")).toEqual({ revoked: 1 });
    expect(await client.getUserAgentBinding("bruno")).toMatchObject({
      active: null,
      history: [{ status: "revoked" }],
    });
  });

  test("a pairing code is pending until it is used", async () => {
    const { code } = await client.createPairingCode({ userId: "carla", agentKey: "default" });
    expect(await client.getPairingCodeStatus(code)).toMatchObject({ status: "pending", userId: "carla" });
    expect(await refusal(other.getPairingCodeStatus(code))).toMatchObject({ code: "not_found" });
  });

  test("a job made from a template is listed, switched off and deleted", async () => {
    const schedule = { kind: "daily", time: "08:30" } as const;
    await client.createPushTemplate({ templateKey: "morning", title: "Morning", text: "Good day", schedule });
    await client.updatePushTemplate("morning", { title: "Good morning" });
    expect(await client.listPushTemplatesByCompany()).toMatchObject([{ title: "Good morning", schedule }]);
    const { jobId, nextRunAt } = await client.createPushJobFromTemplate({
      userId: "ada",
      templateKey: "morning",
      timeZone: "Europe/Rome",
    });
    expect(nextRunAt).toBeGreaterThan(0);
    expect(await client.setPushJobEnabled(jobId, false)).toMatchObject({ nextRunAt: null });
    expect(await client.listPushJobsForUser("ada")).toMatchObject([{ jobId, enabled: false }]);
    expect(await client.listPushDispatchesByJob(jobId)).toEqual([]);
    expect(await client.deletePushJob(jobId)).toEqual({ ok: true });
    expect(await client.deletePushTemplate("morning")).toEqual({ ok: true });
  });

  test("a broadcast reports who got it", async () => {
    const { broadcastId, totalTargets } = await client.sendBroadcastToAllActiveAgents({
      title: "News",
      text: "We moved",
    });
    expect(totalTargets).toBe(0);
    expect(await client.getBroadcast(broadcastId)).toMatchObject({ targets: [], cursor: null });
  });
});
