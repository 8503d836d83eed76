/**
 * Every operation of the document called for real, well and refused: what comes back is what the document promises,
 * to the last field. An operation that nobody calls here fails the test.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as z from "zod";
import { addWorker, complete, mustClaim } from "../testing/factory.setup.ts";
import { type ApiAnswer, callApi, makeKey } from "../testing/api.fixture.ts";
import { addBot, elapse, NOW, openWorld, SHARED_REF, type World } from "../testing/channels.fixture.ts";
import { internal } from "../_generated/api.js";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ ok: true, result: { message_id: 1 } })));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Calls an operation by its id, and checks the answer against the document. */
type Call = (
  operationId: string,
  input?: { path?: Record<string, string>; query?: string; body?: unknown; key?: string | null },
) => Promise<ApiAnswer>;

async function caller(
  t: World,
  serviceKey: string,
): Promise<{ call: Call; called: Set<string>; ids: string[] }> {
  const document = (await callApi(t, { path: "/openapi.json" })).json;
  // oxlint-disable-next-line typescript/no-explicit-any -- the document's own shape
  const operations = new Map<string, { method: string; path: string; responses: any }>();
  // oxlint-disable-next-line typescript/no-explicit-any -- the document's own shape
  for (const [path, methods] of Object.entries<any>(document.paths)) {
    // oxlint-disable-next-line typescript/no-explicit-any -- the document's own shape
    for (const [method, { operationId, responses }] of Object.entries<any>(methods)) {
      operations.set(operationId, { method: method.toUpperCase(), path, responses });
    }
  }
  const failure = z.fromJSONSchema(document.components.schemas.Error);
  const called = new Set<string>();
  const call: Call = async (operationId, { path = {}, query = "", body, key = serviceKey } = {}) => {
    const operation = operations.get(operationId);
    if (operation === undefined) throw new Error(`the document has no operation ${operationId}`);
    const filled = operation.path.replace(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(path[name] ?? ""),
    );
    const { method } = operation;
    const sent = method === "GET" ? undefined : body;
    const answer = await callApi(t, { method, path: `${filled}${query}`, key, body: sent });
    const promised = operation.responses[String(answer.status)];
    expect(promised, `${operationId} answered ${answer.status}`).toBeDefined();
    if (answer.status >= 300) failure.parse(answer.json);
    else {
      called.add(operationId);
      const schema = promised.content["application/json"].schema;
      // Nothing is left out, and nothing comes that the document does not name.
      expect(z.fromJSONSchema(schema).parse(answer.json), operationId).toEqual(answer.json);
    }
    return answer;
  };
  return { call, called, ids: [...operations.keys()] };
}

test("every operation's real answers are those of the document", async () => {
  const t = await openWorld();
  const { serviceKey } = await makeKey(t, "acme");
  const { call, called, ids } = await caller(t, serviceKey);
  const worker = await addWorker(t);
  await addBot(t, "telegram.botToken.unused", "902:token", "other_bot");

  const hello = { conversationId: "c1", agentKey: "default", userId: "ada", text: "hello" };
  const { messageId } = (await call("enqueueMessage", { body: hello })).json;
  await call("getMessage", { path: { messageId } });
  await complete(t, worker, await mustClaim(t, worker), "hi Ada");
  await call("getMessage", { path: { messageId } });
  await call("listConversationMessages", { path: { conversationId: "c1" }, query: "?limit=1" });
  const second = (await call("enqueueMessage", { body: hello })).json;
  await call("cancelMessage", { path: { messageId: second.messageId } });
  await call("listAgents");
  await call("createUpload");

  const { code } = (await call("createPairingCode", { body: { userId: "ada", agentKey: "default" } })).json;
  await call("getPairingCodeStatus", { body: { code } });
  await call("bindUser", { path: { userId: "ada" }, body: { agentKey: "default" } });
  await call("bindUser", { path: { userId: "ada" }, body: { agentKey: "default" } });
  await call("getBinding", { path: { userId: "ada" } });

  const schedule = { kind: "monthly", dayOfMonth: "last", time: "09:30" };
  const words = { title: "Morning", text: "Say good morning" };
  await call("createPushTemplate", { body: { templateKey: "k", ...words, schedule } });
  await call("updatePushTemplate", { path: { templateKey: "k" }, body: { title: "Evening" } });
  await call("listPushTemplates");
  const job = { userId: "ada", templateKey: "k", timeZone: "Asia/Kolkata" };
  const { jobId } = (await call("createPushJob", { body: job })).json;
  await call("updatePushJob", { path: { jobId }, body: { enabled: false } });
  await call("listPushJobs", { path: { userId: "ada" } });
  await call("triggerPushJob", { path: { jobId } });
  await t.mutation(internal.identity.bindings.bindUserAgent, {
    consumerUserId: "ada",
    companyId: "acme",
    agentKey: "default",
    telegramUserId: "42",
    telegramChatId: "42",
    botSecretRef: SHARED_REF,
  });
  await call("triggerPushJob", { path: { jobId } });
  await call("listPushDispatches", { path: { jobId } });
  await call("deletePushJob", { path: { jobId } });
  await call("deletePushTemplate", { path: { templateKey: "k" } });
  const { broadcastId } = (await call("sendBroadcast", { body: words })).json;
  await call("getBroadcast", { path: { broadcastId } });

  const { endpointId } = (await call("createWebhookEndpoint", { body: { url: "https://acme.example/h" } }))
    .json;
  await call("listWebhookEndpoints");
  await call("rotateWebhookSecret", { path: { endpointId }, body: {} });
  const third = (await call("enqueueMessage", { body: { ...hello, conversationId: "c2" } })).json;
  await call("cancelMessage", { path: { messageId: third.messageId } });
  await elapse(t, 2_000);
  const { events } = (await call("listWebhookEvents", { path: { endpointId } })).json;
  expect(events).toHaveLength(1);
  await call("deleteWebhookEndpoint", { path: { endpointId } });
  await call("revokeBinding", { path: { userId: "ada" } });

  expect([...called].sort()).toEqual([...ids].sort());
  // The same, refused: without a key, and with ids that do not exist and bodies that do not fit.
  for (const operationId of ids) {
    await call(operationId, { key: null });
    const nowhere = { messageId: "x", conversationId: "x", jobId: "x", broadcastId: "x", endpointId: "x" };
    await call(operationId, { path: { ...nowhere, userId: "x", templateKey: "x" }, body: { no: "such" } });
  }
}, 60_000);
