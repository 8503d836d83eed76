import { createHmac, randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { verifyWebhook, type WebhookHeaders } from "./webhook.ts";

const now = 1_800_000_000_000;
const secret = `whsec_${randomBytes(32).toString("base64")}`;
const about = { messageId: "m", conversationId: "c", agentKey: "default", userId: "ada" };
const body = JSON.stringify({
  type: "message.answered",
  timestamp: new Date(now).toISOString(),
  data: { ...about, answer: "Grüße 👋" },
});

/** Signed independently of the code under test, as Standard Webhooks describes. */
function signed(
  text: string,
  more: { at?: number; with?: string; id?: string } = {},
): Record<string, string> {
  const { at = now, with: key = secret, id = "evt_1" } = more;
  const timestamp = String(Math.floor(at / 1_000));
  const bytes = Buffer.from(key.replace("whsec_", ""), "base64");
  const signature = createHmac("sha256", bytes).update(`${id}.${timestamp}.${text}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}
const verify = (
  headers: WebhookHeaders,
  text: string | Uint8Array = body,
  keys: string | string[] = secret,
) => verifyWebhook(keys, headers, text, { now });

test("a signed event is returned, from text or bytes, from either kind of headers", async () => {
  const event = { id: "evt_1", type: "message.answered", data: { ...about, answer: "Grüße 👋" } };
  expect(await verify(signed(body))).toMatchObject(event);
  expect(await verify(new Headers(signed(body)), new TextEncoder().encode(body))).toMatchObject(event);
});

test("one fitting signature of several is enough, and one fitting secret", async () => {
  const former = `whsec_${randomBytes(32).toString("base64")}`;
  const headers = signed(body);
  const rotating = { ...headers, "webhook-signature": `v1a,x v1,AAAA ${headers["webhook-signature"]}` };
  expect((await verify(rotating)).id).toBe("evt_1");
  expect((await verify(signed(body, { with: former }), body, [secret, former])).id).toBe("evt_1");
});

test("another secret, body, id or time is refused", async () => {
  const headers = signed(body);
  const attempts: Array<[WebhookHeaders, string]> = [
    [signed(body, { with: `whsec_${randomBytes(32).toString("base64")}` }), body],
    [headers, `${body} `],
    [{ ...headers, "webhook-id": "evt_2" }, body],
    [{ ...headers, "webhook-timestamp": String(now / 1_000 + 1) }, body],
    [{ ...headers, "webhook-signature": "v1," }, body],
    [{ ...headers, "webhook-signature": undefined }, body],
  ];
  for (const [tampered, text] of attempts) {
    await expect(verify(tampered, text)).rejects.toMatchObject({ code: "invalid_signature" });
  }
});

test("a delivery from long ago or from the future is refused, however well signed", async () => {
  for (const at of [now - 301_000, now + 301_000]) {
    await expect(verify(signed(body, { at }))).rejects.toThrow("webhook-timestamp");
  }
  expect((await verify(signed(body, { at: now - 299_000 }))).id).toBe("evt_1");
});

test("whatever arrives is refused with the one error", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string(),
      fc.string(),
      fc.string(),
      fc.string(),
      async (id, time, signature, text) => {
        const headers = { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signature };
        await expect(verify(headers, text)).rejects.toMatchObject({ name: "AgentFactoryError" });
      },
    ),
  );
});

test("a malformed secret is the caller's mistake and is not shown", async () => {
  const mistaken = verify(signed(body), body, "whsec_not base64!");
  await expect(mistaken).rejects.toThrow(TypeError);
  await expect(mistaken).rejects.not.toThrow(/not base64!/);
});
