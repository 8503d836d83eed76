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
      allowed_updates: ["message", "edited_message", "my_chat_member"],
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

  test("a secret rotates without a lost update: each is accepted by whichever secret it was signed", async () => {
    const t = await openWorld();
    const telegram = telegramWithWebhook();
    const master = (current: string, previous: string | null) => {
      process.env["TELEGRAM_WEBHOOK_SECRETS"] = JSON.stringify({ current, previous });
    };
    const [OLD, NEW] = ["the-old-master-secret-01", "the-new-master-secret-02"];
    const send = async (secret: string): Promise<number> =>
      (await deliver(t, { body: messageUpdate("hi"), header: await headerOf(SHARED_REF, secret) })).status;
    const registered = (): string =>
      String(telegram.calls.findLast(({ method }) => method === "setWebhook")?.body["secret_token"]);

    master(OLD, null);
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    expect([await send(OLD), await send(NEW)]).toEqual([202, 403]);
    // The stack has written both; Telegram still signs with the old one.
    master(NEW, OLD);
    expect(registered()).toBe(await headerOf(SHARED_REF, OLD));
    expect(await send(OLD)).toBe(202);
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    expect(registered()).toBe(await headerOf(SHARED_REF, NEW));
    // Updates that were under way when the webhook was set carry the old one, for as long as the stack keeps both.
    expect([await send(NEW), await send(OLD)]).toEqual([202, 202]);
    // The old one leaves the list.
    master(NEW, null);
    expect([await send(NEW), await send(OLD)]).toEqual([202, 403]);
    expect((await t.action(internal.ingress.webhook.telegramWebhookStatus, {})).drift).toEqual([]);
  });

  test("is not ready while Telegram names another URL", async () => {
    const t = await openWorld();
    const elsewhere = "https://elsewhere.example/hook";
    fakeTelegram(({ method }) => {
      if (method === "getMe") return ok({ id: 900, username: "helper_bot" });
      return ok(method === "getWebhookInfo" ? { url: elsewhere, pending_update_count: 0 } : true);
    });
    expect(await t.action(internal.ingress.webhook.configureTelegramWebhook, {})).toMatchObject({
      isReady: false,
      currentUrl: elsewhere,
      description: `Telegram still names '${elsewhere}'; run configureTelegramWebhook again`,
    });
  });

  test("a webhook that somebody else set, or with other update kinds, shows as drift", async () => {
    const t = await openWorld();
    telegramWithWebhook();
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    const info = {
      url: "https://elsewhere.example/hook",
      pending_update_count: 0,
      allowed_updates: ["message"],
    };
    fakeTelegram(() => ok(info));
    expect((await t.action(internal.ingress.webhook.telegramWebhookStatus, {})).drift).toEqual([
      `webhook is 'https://elsewhere.example/hook', wanted '${URL_SHARED}'`,
      "allowed_updates are message, wanted message, edited_message, my_chat_member",
    ]);
  });

  test("a passing refusal is tried again, a lasting one is not", async () => {
    const t = await openWorld();
    let limited = 2;
    const telegram = fakeTelegram(({ method, body }) => {
      if (method === "getMe") return ok({ id: 900, username: "helper_bot" });
      if (method === "getWebhookInfo") return ok({ url: URL_SHARED, pending_update_count: 0 });
      limited -= 1;
      const slowDown = {
        ok: false,
        error_code: 429,
        description: "Too Many Requests",
        parameters: { retry_after: 0 },
      };
      expect(body["url"]).toBe(URL_SHARED);
      return limited < 0 ? ok(true) : { status: 429, json: slowDown };
    });
    await t.action(internal.ingress.webhook.configureTelegramWebhook, {});
    expect(telegram.calls.filter(({ method }) => method === "setWebhook")).toHaveLength(3);
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
