import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import {
  addAgent,
  addBot,
  deliver,
  fakeTelegram,
  messageUpdate,
  NOW,
  openWorld,
  type World,
} from "../testing/channels.fixture.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const MINUTE = 60_000;
const makeCode = async (t: World, consumerUserId = "ada", agentKey = "default"): Promise<string> =>
  (await t.action(internal.identity.pairing.createPairingCode, { consumerUserId, agentKey })).code;

/** `/start <code>` of a Telegram user in their private chat. */
async function start(t: World, code: string, user = 42) {
  const place = { chat: { id: user, type: "private" }, from: { id: user, is_bot: false, first_name: "P" } };
  const response = await deliver(t, { body: messageUpdate(`/start ${code}`, place) });
  return ((await response.json()) as { pairing: { status: string; error?: string } }).pairing;
}

const activeOf = (t: World) =>
  t.run(async (ctx) =>
    (await ctx.db.query("identityBindings").collect()).filter(({ status }) => status === "active"),
  );
const lastText = (t: World) =>
  t.run(async (ctx) => {
    const parts = await ctx.db.query("outbox").collect();
    const content = parts.at(-1)?.content;
    return content?.kind === "text" ? content.plain : null;
  });

describe("a code's link", () => {
  const linkOf = async (t: World) =>
    (
      await t.action(internal.identity.pairing.createPairingCode, {
        consumerUserId: "ada",
        agentKey: "sales",
      })
    ).deepLink;

  test("opens the agent's own bot while that one delivers here, then the shared one, then none", async () => {
    const t = await openWorld();
    await addAgent(t, "sales");
    await addBot(t, "telegram.botToken.sales", "901:token-of-sales", "sales_bot");
    expect(await linkOf(t)).toMatch(/^https:\/\/t\.me\/sales_bot\?start=/);
    // What nobody delivers from leads nowhere: the code would never arrive.
    await t.action(internal.ingress.webhook.deleteTelegramWebhook, { agentKey: "sales" });
    expect(await linkOf(t)).toMatch(/^https:\/\/t\.me\/helper_bot\?start=/);
    await t.action(internal.ingress.webhook.deleteTelegramWebhook, {});
    expect(await linkOf(t)).toBeNull();
  });
});

describe("a code", () => {
  test("redeemed by two people at the same time works for one of them", async () => {
    const t = await openWorld();
    const code = await makeCode(t);
    const users = [41, 42, 43, 44, 45];
    const results = await Promise.all(users.map((user) => start(t, code, user)));
    expect(results.map(({ status }) => status).sort()).toEqual([
      "failed",
      "failed",
      "failed",
      "failed",
      "used",
    ]);
    const [binding, ...others] = await activeOf(t);
    expect(others).toEqual([]);
    expect(binding?.telegramUserId).toBe(String(users[results.findIndex(({ status }) => status === "used")]));
  });

  test("opened twice by the same person binds once, and the second time is no failure of theirs", async () => {
    const t = await openWorld({ telegram: { requireBindingForTelegram: true } });
    const code = await makeCode(t);
    expect((await start(t, code)).status).toBe("used");
    for (let index = 0; index < 8; index += 1) {
      expect(await start(t, code)).toEqual({
        status: "failed",
        error: "Pairing code already used or expired",
      });
    }
    expect(await lastText(t)).toBe("You are connected already. Write to me here and I will answer.");
    expect(await activeOf(t)).toHaveLength(1);
    // Eight failures of the other kind would have locked them out.
    expect((await start(t, await makeCode(t))).status).toBe("used");
  });

  test("of one's own that no longer holds is a failure like any other", async () => {
    const t = await openWorld();
    const code = await makeCode(t);
    await start(t, code);
    await t.mutation(internal.identity.bindings.revokeUserAgentBinding, { consumerUserId: "ada" });
    await start(t, code);
    expect(await lastText(t)).toContain("Pairing did not work");
  });

  test("that is pending ends when its person is revoked", async () => {
    const t = await openWorld();
    const code = await makeCode(t);
    await t.mutation(internal.identity.bindings.revokeUserAgentBinding, { consumerUserId: "ada" });
    expect(await start(t, code)).toMatchObject({ error: "Pairing code already used or expired" });
    expect(await activeOf(t)).toEqual([]);
  });

  test("made many times at once leaves one pending", async () => {
    const t = await openWorld();
    await Promise.all(Array.from({ length: 10 }, () => makeCode(t)));
    const codes = await t.run((ctx) => ctx.db.query("pairingCodes").collect());
    expect(codes.filter(({ status }) => status === "pending")).toHaveLength(1);
  });

  test("of an agent that was switched off since binds nobody and stays usable", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    const code = await makeCode(t, "ada", "b");
    await t.mutation(internal.factory.setAgentEnabled, { agentKey: "b", enabled: false });
    await deliver(t, { body: messageUpdate(`/start ${code}`) });
    expect(await activeOf(t)).toEqual([]);
    await t.mutation(internal.factory.setAgentEnabled, { agentKey: "b", enabled: true });
    expect((await start(t, code)).status).toBe("used");
  });
});

describe("attempts", () => {
  const fail = async (t: World, times: number, user = 42): Promise<void> => {
    for (let index = 0; index < times; index += 1) await start(t, `WRONG${index}`, user);
  };
  const LOCKED = "Too many failed pairing attempts. Try again in 15 minutes.";

  test("are five in a quarter of an hour, then the right code works again", async () => {
    const t = await openWorld();
    await fail(t, 5);
    vi.setSystemTime(NOW + 15 * MINUTE - 1);
    const code = await makeCode(t);
    expect(await start(t, code)).toEqual({ status: "failed", error: LOCKED });
    vi.setSystemTime(NOW + 15 * MINUTE);
    expect((await start(t, code)).status).toBe("used");
  });

  test("begin anew after a success, and are counted per person", async () => {
    const t = await openWorld();
    await fail(t, 4);
    expect((await start(t, await makeCode(t))).status).toBe("used");
    await fail(t, 4);
    expect((await start(t, await makeCode(t))).status).toBe("used");
    await fail(t, 5, 50);
    expect((await start(t, await makeCode(t, "bob"), 51)).status).toBe("used");
  });

  test("at the same time do not slip past the limit", async () => {
    const t = await openWorld();
    const code = await makeCode(t);
    const wrong = Array.from({ length: 5 }, (_, index) => start(t, `WRONG${index}`));
    await Promise.all(wrong);
    expect((await start(t, code)).error).toBe(LOCKED);
  });
});
