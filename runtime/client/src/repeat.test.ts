/** Requests whose answers are lost after the API has acted: sent again, they act once and are answered as the first was. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Deployment, startDeployment } from "../testing/deployment.ts";
import { type LossyProxy, startLossyProxy } from "../testing/lossyProxy.ts";
import { type AgentFactoryClient, AgentFactoryError, type ClientOptions, createClient } from "./index.ts";

let deployment: Deployment;
let proxy: LossyProxy;
let client: AgentFactoryClient;
/** Without retries of its own: what a caller does with a lost answer. */
let once: AgentFactoryClient;
/** Past the proxy: what really happened. */
let direct: AgentFactoryClient;

const quick = { baseDelayMs: 1, maxDelayMs: 1 };
const schedule = { kind: "manual" } as const;
const words = { title: "News", text: "We moved" };
const job = { userId: "ada", ...words, schedule, timeZone: "UTC" };

beforeAll(async () => {
  deployment = await startDeployment();
  proxy = await startLossyProxy(deployment.siteUrl);
  const serviceKey = await deployment.keyOf("acme", { requestsPerMinute: 60_000 });
  const at = (siteUrl: string, retry: ClientOptions["retry"]) => createClient({ siteUrl, serviceKey, retry });
  client = at(proxy.url, quick);
  once = at(proxy.url, { attemptsMax: 1 });
  direct = at(deployment.siteUrl, quick);
  await direct.bindUserAgent("ada", "default");
});
afterEach(() => {
  proxy.keys.length = 0;
  proxy.lose(0);
});
afterAll(async () => {
  await proxy?.close();
  await deployment?.close();
});

/** Every sending of the last call bore the same key. */
function expectOneKey(sendings: number): void {
  expect(proxy.keys).toHaveLength(sendings);
  expect(new Set(proxy.keys).size).toBe(1);
  expect(proxy.keys[0]).toMatch(/^[0-9a-f-]{36}$/);
}

async function lostAnswer(call: Promise<unknown>): Promise<AgentFactoryError> {
  const error: unknown = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentFactoryError);
  expect(error).toMatchObject({ code: "network", status: 0 });
  return error as AgentFactoryError;
}

const messagesOf = async (conversationId: string) =>
  (await direct.listConversationMessages(conversationId)).messages.filter(({ role }) => role === "user");

describe("of two answers that are lost, the third tells what the first sending did", () => {
  test("for a message", async () => {
    proxy.lose(2);
    const hello = { conversationId: "lost", agentKey: "default", userId: "ada", text: "hello" };
    const { messageId, duplicate } = await client.enqueue(hello);
    expect(duplicate).toBe(true);
    expectOneKey(3);
    await direct.waitForMessage(messageId, { timeoutMs: 30_000 });
    expect(await messagesOf("lost")).toHaveLength(1);
  });

  test("for a message that is cancelled", async () => {
    const scheduledFor = Date.now() + 3_600_000;
    const { messageId } = await direct.enqueue({
      conversationId: "later",
      agentKey: "default",
      userId: "ada",
      text: "hello",
      scheduledFor,
    });
    proxy.lose(2);
    expect(await client.cancelMessage(messageId)).toEqual({ outcome: "cancelled" });
  });

  test("for a push template", async () => {
    proxy.lose(2);
    const { templateId } = await client.createPushTemplate({ templateKey: "news", ...words, schedule });
    expectOneKey(3);
    expect(await direct.listPushTemplatesByCompany()).toMatchObject([{ templateId, templateKey: "news" }]);
  });

  test("for push jobs, made from a template and by themselves", async () => {
    await direct.createPushTemplate({ templateKey: "for-bea", ...words, schedule });
    proxy.lose(2);
    const templated = { userId: "bea", templateKey: "for-bea", timeZone: "UTC" };
    const first = await client.createPushJobFromTemplate(templated);
    expectOneKey(3);
    proxy.lose(2);
    const second = await client.createPushJobCustom({ ...job, userId: "bea" });
    const jobs = await direct.listPushJobsForUser("bea");
    expect(jobs.map(({ jobId }) => jobId).sort()).toEqual([first.jobId, second.jobId].sort());
  });

  test("for a trigger by hand", async () => {
    const { jobId } = await direct.createPushJobCustom(job);
    proxy.lose(2);
    const { outcome, messageId } = await client.triggerPushJobNow(jobId);
    expectOneKey(3);
    expect(outcome).toBe("skipped");
    expect(messageId).toBeNull();
    expect(await direct.listPushDispatchesByJob(jobId)).toHaveLength(1);
  });

  test("for a broadcast", async () => {
    proxy.lose(2);
    const { broadcastId, totalTargets } = await client.sendBroadcastToAllActiveAgents(words);
    expectOneKey(3);
    expect(totalTargets).toBe(1);
    expect((await direct.getBroadcast(broadcastId)).totalTargets).toBe(1);
    const { rows } = await deployment.backend.run<{ rows: unknown[] }>("factory:listAudit", {
      action: "broadcast.start",
    });
    expect(rows).toHaveLength(1);
  });

  test("for a webhook endpoint and the rotation of its secret", async () => {
    proxy.lose(2);
    const { endpointId, signingSecret } = await client.createWebhookEndpoint("http://127.0.0.1:9/hook");
    expectOneKey(3);
    expect(signingSecret).toMatch(/^whsec_/);
    expect(await direct.listWebhookEndpoints()).toMatchObject([{ endpointId, enabled: true }]);
    proxy.keys.length = 0;
    proxy.lose(2);
    const rotated = await client.rotateWebhookSecret(endpointId);
    expectOneKey(3);
    expect(rotated.signingSecret).not.toBe(signingSecret);
  });

  test("for a pairing code: the lost ones have ended, the last one works", async () => {
    proxy.lose(2);
    const { code } = await client.createPairingCode({ userId: "cleo", agentKey: "default" });
    expect(await direct.getPairingCodeStatus(code)).toMatchObject({ status: "pending", userId: "cleo" });
  });
});

describe("a caller whose call failed without an answer", () => {
  test("is not invited to repeat it as it was, and finds the key that makes it safe", async () => {
    const { jobId } = await direct.createPushJobCustom(job);
    proxy.lose(1);
    const { retryable, idempotencyKey } = await lostAnswer(once.triggerPushJobNow(jobId));
    expect(retryable).toBe(false);
    expect(idempotencyKey).toBe(proxy.keys[0]);
    await once.triggerPushJobNow(jobId, { idempotencyKey: idempotencyKey as string });
    expect(await direct.listPushDispatchesByJob(jobId)).toHaveLength(1);
  });

  test("with a key of its own may repeat it, from another process, too", async () => {
    const own = { ...words, text: "We moved again", idempotencyKey: "move-2" };
    proxy.lose(1);
    expect(await lostAnswer(once.sendBroadcastToAllActiveAgents(own))).toMatchObject({
      retryable: true,
      idempotencyKey: "move-2",
    });
    const again = await once.sendBroadcastToAllActiveAgents(own);
    expect(await direct.sendBroadcastToAllActiveAgents(own)).toEqual(again);
  });

  test("and asks for something else with the key is refused", async () => {
    const url = "http://127.0.0.1:9/other";
    await direct.createWebhookEndpoint(url, { idempotencyKey: "k" });
    await direct.createPushJobCustom({ ...job, idempotencyKey: "k" });
    await direct.createPushTemplate({ templateKey: "k", ...words, schedule, idempotencyKey: "k" });
    const template = { templateKey: "k", ...words, schedule, idempotencyKey: "k" };
    const others: Array<() => Promise<unknown>> = [
      () => direct.createWebhookEndpoint(`${url}/2`, { idempotencyKey: "k" }),
      () => direct.createPushJobCustom({ ...job, text: "other", idempotencyKey: "k" }),
      () =>
        direct.createPushJobFromTemplate({
          userId: "ada",
          templateKey: "k",
          timeZone: "UTC",
          idempotencyKey: "k",
        }),
      () => direct.createPushTemplate({ ...template, title: "other" }),
    ];
    for (const other of others)
      await expect(other()).rejects.toMatchObject({ code: "conflict", status: 409 });
    expect(await direct.listWebhookEndpoints()).toHaveLength(2);
  });
});
