import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  deliver,
  fakeTelegram,
  headerOf,
  messageUpdate,
  NOW,
  openWorld,
  SHARED_REF,
  SHARED_TOKEN,
} from "../testing/channels.fixture.ts";
import { checkSiteUrl } from "./siteUrl.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const SITE = "https://happy-otter-1.convex.site";
const URL_SHARED = `${SITE}/agent-factory/telegram/webhook`;
const ok = (result: unknown) => ({ json: { ok: true, result } });

/** A Bot API that remembers the webhook that it was given. */
function telegramWithWebhook() {
  let url = "";
  return fakeTelegram(({ method, body }) => {
    if (method === "getMe") return ok({ id: 900, username: "helper_bot" });
    if (method === "getWebhookInfo")
      return ok({ url, pending_update_count: 2, last_error_message: "old", last_error_date: 5 });
    url = method === "setWebhook" ? String(body["url"]) : "";
    return ok(true);
  });
}

describe("configureTelegramWebhook", () => {
  test("registers URL, secret and update kinds, and reports readiness", async () => {
    const t = await openWorld();
    const telegram = telegramWithWebhook();
    expect(await t.action(internal.ingress.webhook.configureTelegramWebhook, {})).toEqual({
      ok: true,
      webhookUrl: URL_SHARED,
      currentUrl: URL_SHARED,
      isReady: true,
      pendingUpdateCount: 2,
      lastErrorMessage: "old",
      lastErrorDate: 5,
      description: `@helper_bot delivers to ${URL_SHARED}`,
    });
    const set = telegram.calls.find(({ method }) => method === "setWebhook");
    expect(set?.body).toEqual({
      url: URL_SHARED,
      secret_token: await headerOf(SHARED_REF),
      allowed_updates: ["message", "my_chat_member"],
    });
    expect(telegram.calls.every(({ token }) => token === SHARED_TOKEN)).toBe(true);
  });

  test("what it registers is what the webhook accepts", async () => {
    const t = await openWorld();
    const telegram = telegramWithWebhook();
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    const set = telegram.calls.find(({ method }) => method === "setWebhook");
    const header = String(set?.body["secret_token"]);
    expect(header).toMatch(/^[A-Za-z0-9_-]{1,256}$/);
    expect((await deliver(t, { body: messageUpdate("hi"), header })).status).toBe(202);
  });

  test("gives an agent's own bot its own path", async () => {
    const t = await openWorld();
    telegramWithWebhook();
    await t.action(internal.secrets.importSecret.importSecret, {
      secretRef: "telegram.botToken.a",
      plaintextValue: "901:token-of-a",
    });
    const result = await t.action(internal.ingress.webhook.configureTelegramWebhook, { agentKey: "a" });
    expect(result.webhookUrl).toBe(`${URL_SHARED}/a`);
  });

  test("names the secret that is missing", async () => {
    const t = await openWorld();
    await expect(
      t.action(internal.ingress.webhook.configureTelegramWebhook, { secretRef: "telegram.botToken.x" }),
    ).rejects.toThrow(
      "Missing Telegram token. Import an active 'telegram.botToken.x' secret before pairing.",
    );
  });

  test("passes Telegram's refusal on, without the token", async () => {
    const t = await openWorld();
    fakeTelegram(({ method }) =>
      method === "setWebhook"
        ? {
            status: 400,
            json: {
              ok: false,
              error_code: 400,
              description: "Bad Request: bad webhook: HTTPS url must be provided",
            },
          }
        : ok({ id: 900 }),
    );
    await expect(t.action(internal.ingress.webhook.configureTelegramWebhook, {})).rejects.toThrow(
      "Telegram setWebhook failed: Bad Request: bad webhook: HTTPS url must be provided",
    );
  });

  test("a changed master secret shows as drift until it is registered", async () => {
    const t = await openWorld();
    telegramWithWebhook();
    const drift = async () => (await t.action(internal.ingress.webhook.telegramWebhookStatus, {})).drift;
    expect(await drift()).toContain(`webhook is '', wanted '${URL_SHARED}'`);
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    expect(await drift()).toEqual([]);
    process.env["TELEGRAM_WEBHOOK_SECRETS"] = JSON.stringify({
      current: "a-completely-new-secret-000",
      previous: null,
    });
    expect(await drift()).toEqual([
      "the webhook secret changed since it was registered; run configureTelegramWebhook",
    ]);
  });

  test("deleting is done once and harmless twice", async () => {
    const t = await openWorld();
    telegramWithWebhook();
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    expect(await t.action(internal.ingress.webhook.deleteTelegramWebhook, {})).toMatchObject({
      ok: true,
      deleted: true,
    });
    expect(
      await t.action(internal.ingress.webhook.deleteTelegramWebhook, { agentKey: "none" }),
    ).toMatchObject({
      ok: true,
      deleted: false,
    });
  });
});

describe("which site URLs Telegram may be given", () => {
  const REAL = "https://api.telegram.org";
  const LOCAL = "http://127.0.0.1:9001";
  test.each([
    [SITE, REAL, { ok: true, url: SITE }],
    [`${SITE}/`, REAL, { ok: true, url: SITE }],
    ["http://127.0.0.1:3211", LOCAL, { ok: true, url: "http://127.0.0.1:3211" }],
    ["http://example.com", LOCAL, { ok: false, error: "convexSiteUrl must start with https://" }],
    ["", REAL, { ok: false, error: "convexSiteUrl must start with https://" }],
    ["ftp://x", REAL, { ok: false, error: "convexSiteUrl must start with https://" }],
  ])("%s with a Bot API at %s", (siteUrl, apiUrl, expected) => {
    expect(checkSiteUrl(siteUrl, apiUrl)).toEqual(expected);
  });

  test("loopback is refused with the reason when Telegram is elsewhere", () => {
    expect(checkSiteUrl("http://127.0.0.1:3211", REAL)).toMatchObject({
      ok: false,
      error: expect.stringContaining("only while telegram.apiUrl is a loopback address too"),
    });
  });

  test("the .convex.cloud URL is named as the wrong one", () => {
    expect(checkSiteUrl("https://happy-otter-1.convex.cloud", REAL)).toMatchObject({
      ok: false,
      error: expect.stringContaining("must be the .convex.site URL"),
    });
  });
});
