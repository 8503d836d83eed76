/** The example as its readers would run it: against a deployment, whose workers answer. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WebhookEvent } from "@agent-factory/client";
import { type Deployment, startDeployment } from "../testing/deployment.ts";
import { type ExampleServer, startExample } from "./server.ts";

let deployment: Deployment;
let example: ExampleServer;
const events: WebhookEvent[] = [];

beforeAll(async () => {
  deployment = await startDeployment((text) => `You said: ${text}`);
  const serviceKey = await deployment.keyOf("acme");
  const { siteUrl } = deployment;
  const onEvent = (event: WebhookEvent): number => events.push(event);
  example = await startExample({ siteUrl, serviceKey, agentKey: "default", onEvent });
});
afterAll(async () => {
  await example.close();
  await deployment.close();
});

const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(example.url + path, { method: "POST", body, headers });

test("a person chats, and the same answer comes by signed webhook", async () => {
  const response = await post("/chat", JSON.stringify({ userId: "ada", text: "hello" }));
  const answer = (await response.json()) as { messageId: string };
  expect(answer).toMatchObject({ status: "done", answer: "You said: hello" });
  await expect
    .poll(() => events, { timeout: 20_000 })
    .toMatchObject([
      {
        type: "message.answered",
        data: { messageId: answer.messageId, userId: "ada", answer: "You said: hello" },
      },
    ]);
});

test("a webhook that the factory did not sign is refused and changes nothing", async () => {
  const before = events.length;
  const forged = {
    "webhook-id": "evt_forged",
    "webhook-timestamp": String(Math.floor(Date.now() / 1_000)),
    "webhook-signature": `v1,${Buffer.alloc(32).toString("base64")}`,
  };
  expect((await post("/webhooks", "{}", forged)).status).toBe(400);
  expect((await post("/webhooks", "{}")).status).toBe(400);
  expect(events).toHaveLength(before);
});

test("a malformed or oversized request is refused", async () => {
  expect((await post("/chat", "{")).status).toBe(400);
  expect((await post("/chat", '{"userId":1}')).status).toBe(400);
  expect((await post("/chat", "x".repeat(600_000))).status).toBe(413);
});
