import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exitCodes } from "../errors.ts";
import { type FakeDeployment, startFakeDeployment } from "../testing/fakeDeployment.ts";
import { type Outcome, runAgainst } from "../testing/fakeIo.ts";

let deployment: FakeDeployment;
beforeEach(async () => {
  deployment = await startFakeDeployment();
  deployment.on("telegramWebhookStatus", () => webhook());
  deployment.on("listJobsByStatus", () => ({ messages: [], cursor: null }));
  deployment.on("listDeliveries", () => []);
  deployment.on("resolveAgentForTelegram", () => null);
});
afterEach(() => deployment.close());

const webhook = (drift: string[] = []) => ({
  secretRef: "telegram.botToken.default",
  configured: true,
  drift,
  currentUrl: `${deployment.url}/agent-factory/telegram/webhook`,
  pendingUpdateCount: 0,
  lastErrorMessage: null,
});
const smoke = (...args: string[]): Promise<Outcome> => runAgainst(deployment, ["smoke", "--json", ...args]);
const report = ({ out }: Outcome) =>
  JSON.parse(out) as { ok: boolean; steps: Array<{ name: string; ok: boolean; detail: string }> };

describe("smoke through the API", () => {
  beforeEach(() => deployment.on("enqueue", () => "m1"));

  it("passes once the agent has answered in a conversation of its own", async () => {
    let asked = 0;
    deployment.on("listConversationMessages", () => ({
      messages: ++asked < 3 ? [] : [{ seq: 1, role: "assistant", content: "ready", at: 1 }],
      cursor: null,
    }));
    const outcome = await smoke();
    expect(outcome.code).toBe(exitCodes.ok);
    expect(report(outcome).steps.map(({ name, ok }) => `${name} ${ok}`)).toEqual([
      "webhook true",
      "turn true",
    ]);
    const enqueued = deployment.calls.find(({ name }) => name === "enqueue");
    expect(enqueued?.args).toMatchObject({ destination: null, payload: { provider: "api" } });
  });

  it("fails at once with the reason when the message is given up", async () => {
    deployment.on("listConversationMessages", () => ({ messages: [], cursor: null }));
    deployment.on("listJobsByStatus", ({ status }) => ({
      messages:
        status === "dead_letter"
          ? [{ messageId: "m1", conversationId: "c", lastError: "no such model" }]
          : [],
      cursor: null,
    }));
    const outcome = await smoke();
    expect(outcome.code).toBe(exitCodes.failed);
    expect(report(outcome)).toMatchObject({ ok: false, steps: [{ ok: true }, { ok: false }] });
    expect(outcome.err).toContain("no such model");
  });

  it("fails when no answer comes in time", async () => {
    deployment.on("listConversationMessages", () => ({ messages: [], cursor: null }));
    const outcome = await smoke("--timeout", "10s");
    expect(outcome.code).toBe(exitCodes.failed);
    expect(outcome.err).toContain("no answer within 10 s");
  });

  it("sends nothing while the webhook has drifted", async () => {
    deployment.on("telegramWebhookStatus", () => webhook(["webhook is 'https://elsewhere', wanted …"]));
    expect((await smoke()).code).toBe(exitCodes.failed);
    expect(deployment.calls.map(({ name }) => name)).toEqual(["telegramWebhookStatus"]);
  });
});

describe("smoke through the webhook", () => {
  const SECRET = "a-webhook-secret-of-enough-length";
  let posted: { header: string | string[] | undefined; body: Record<string, unknown> } | null;

  beforeEach(() => {
    posted = null;
    deployment.onRequest((request, body) => {
      if (request.url === "/api/v1/list_environment_variables") {
        const secrets = JSON.stringify({ current: SECRET, previous: null });
        return {
          status: 200,
          body: JSON.stringify({ environmentVariables: { TELEGRAM_WEBHOOK_SECRETS: secrets } }),
        };
      }
      if (request.url?.startsWith("/agent-factory/") !== true) return null;
      posted = {
        header: request.headers["x-telegram-bot-api-secret-token"],
        body: JSON.parse(body) as Record<string, unknown>,
      };
      return { status: 202, body: '{"ok":true}' };
    });
    const old = { messageId: "old", conversationId: "telegram:7:1000", lastError: null };
    deployment.on("listJobsByStatus", ({ status }) => ({
      messages: status !== "done" ? [] : posted === null ? [old] : [{ ...old, messageId: "new" }, old],
      cursor: null,
    }));
    deployment.on("messageTimeline", () => [{ messageId: "new", enqueuedAt: 1_000, deliveredAt: 4_000 }]);
  });

  it("posts an update with Telegram's header and passes when the answer is delivered", async () => {
    const outcome = await smoke("--through", "webhook", "--chat", "1000");
    expect(outcome.code).toBe(exitCodes.ok);
    expect(report(outcome).steps.map(({ name }) => name)).toEqual(["webhook", "ingress", "delivery"]);
    const header = createHmac("sha256", SECRET).update("telegram.botToken.default").digest("base64url");
    expect(posted).toMatchObject({ header, body: { message: { chat: { id: 1000, type: "private" } } } });
    expect(outcome.out + outcome.err).not.toContain(SECRET);
    expect(outcome.out + outcome.err).not.toContain(header);
  });

  it("uses an update id that Telegram will never come to", async () => {
    await smoke("--through", "webhook", "--chat", "1000");
    expect(posted?.body["update_id"]).toBeGreaterThan(2 ** 40);
    expect(Number.isSafeInteger(posted?.body["update_id"])).toBe(true);
  });

  it("fails when Telegram refused the answer", async () => {
    deployment.on("messageTimeline", () => []);
    deployment.on("listDeliveries", ({ state }) =>
      state === "failed" ? [{ messageId: "new", lastError: "Bad Request: chat not found" }] : [],
    );
    const outcome = await smoke("--through", "webhook", "--chat", "1000");
    expect(outcome.code).toBe(exitCodes.failed);
    expect(outcome.err).toContain("chat not found");
  });

  it("needs the chat to answer to", async () => {
    const outcome = await smoke("--through", "webhook");
    expect(outcome.code).toBe(exitCodes.usage);
    expect(posted).toBeNull();
  });
});
