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
  SHARED_REF,
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

const messagesOf = (t: World) => t.run((ctx) => ctx.db.query("messageQueue").collect());
const bind = (t: World, binding: Record<string, string>) =>
  t.mutation(internal.identity.bindings.bindUserAgent, {
    consumerUserId: "ada",
    agentKey: "default",
    ...binding,
  });
const paired = { telegramUserId: "42", telegramChatId: "42", botSecretRef: SHARED_REF };
const activeOf = async (t: World, consumerUserId = "ada") =>
  (await t.query(internal.identity.bindings.getUserAgentBinding, { consumerUserId })).active;

describe("who is re-bound by an operator or app", () => {
  test("goes on in Telegram, with the new agent", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, paired);
    await bind(t, { agentKey: "b" });
    await deliver(t, { body: messageUpdate("hello") });
    expect((await messagesOf(t)).map(({ agentKey }) => agentKey)).toEqual(["b"]);
    expect(await activeOf(t)).toMatchObject({ agentKey: "b", telegramUserId: "42" });
  });

  test("keeps the stable conversation with the same agent, and only with it", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, { ...paired, conversationId: "ada-main" });
    await bind(t, {});
    expect((await activeOf(t))?.conversationId).toBe("ada-main");
    await bind(t, { agentKey: "b" });
    expect((await activeOf(t))?.conversationId).toBeNull();
  });

  test("does not keep the former agent's own bot, which never reaches another agent", async () => {
    const t = await openWorld();
    for (const agentKey of ["a", "b"]) await addAgent(t, agentKey);
    await addBot(t, "telegram.botToken.a", "901:token-of-a", "a_bot");
    await bind(t, { ...paired, agentKey: "a", botSecretRef: "telegram.botToken.a" });
    await bind(t, { agentKey: "b" });
    const rows = await t.run((ctx) => ctx.db.query("identityBindings").collect());
    const active = rows.find(({ status }) => status === "active");
    expect(active?.telegramUserId).toBe("42");
    expect(active?.botSecretRef).toBeUndefined();
  });

  test("of another company inherits nothing", async () => {
    const t = await openWorld();
    await bind(t, { ...paired, companyId: "acme" });
    await bind(t, { companyId: "other" });
    const rows = await t.run((ctx) => ctx.db.query("identityBindings").collect());
    expect(rows.find(({ companyId }) => companyId === "other")?.telegramUserId).toBeUndefined();
    expect(rows.find(({ companyId }) => companyId === "acme")?.status).toBe("active");
  });

  test("at the same time by many has one active binding, and the rest as history", async () => {
    const t = await openWorld();
    await Promise.all(
      Array.from({ length: 10 }, (_, index) => bind(t, { ...paired, conversationId: `c${index}` })),
    );
    const { active, history } = await t.query(internal.identity.bindings.getUserAgentBinding, {
      consumerUserId: "ada",
    });
    expect(active?.status).toBe("active");
    expect(history).toHaveLength(9);
    expect(
      history.every(({ revokedAt, revokedBecause }) => revokedAt === NOW && revokedBecause === "re-bound"),
    ).toBe(true);
  });
});

test("a person bound to the agent that they have keeps that binding, however often an app says so", async () => {
  const t = await openWorld();
  await addAgent(t, "b");
  const asked = { source: "api", companyId: "acme" };
  const { bindingId } = await bind(t, { ...asked, ...paired, conversationId: "ada-main" });
  vi.setSystemTime(NOW + 60_000);
  expect(await bind(t, asked)).toEqual({ bindingId });
  expect(await bind(t, { ...asked, telegramUserId: "42" })).toEqual({ bindingId });
  const rows = () => t.run((ctx) => ctx.db.query("identityBindings").collect());
  expect(await rows()).toMatchObject([{ status: "active", boundAt: NOW, conversationId: "ada-main" }]);
  const changes: Array<Record<string, string>> = [
    { telegramUserId: "43" },
    { conversationId: "other" },
    { agentKey: "b" },
  ];
  for (const change of changes) await bind(t, { ...asked, ...change });
  expect((await rows()).map(({ status }) => status)).toEqual(["revoked", "revoked", "revoked", "active"]);
});

test("a group is one person's at a time", async () => {
  const t = await openWorld();
  await bind(t, { consumerUserId: "ada", telegramChatId: "-100" });
  await bind(t, { consumerUserId: "bob", telegramChatId: "-100" });
  const found = await t.query(internal.identity.bindings.resolveAgentForTelegram, { telegramChatId: "-100" });
  expect(found?.consumerUserId).toBe("bob");
  expect(await activeOf(t, "ada")).toBeNull();
});

describe("the list for operators", () => {
  test("shows everybody's bindings, latest first, page by page, and narrows to a company, an agent or the former ones", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, { ...paired, companyId: "acme" });
    await bind(t, { consumerUserId: "bob", companyId: "evil", agentKey: "b" });
    await bind(t, { consumerUserId: "eve", companyId: "evil" });
    await bind(t, { consumerUserId: "eve", companyId: "evil", agentKey: "b" });
    const list = async (args: Record<string, unknown> = {}) =>
      (await t.query(internal.factory.listBindings, args)).bindings.map(
        ({ companyId, consumerUserId, agentKey }) => `${companyId}/${consumerUserId}/${agentKey}`,
      );
    expect(await list()).toEqual(["evil/eve/b", "evil/bob/b", "acme/ada/default"]);
    expect(await list({ of: { companyId: "acme" } })).toEqual(["acme/ada/default"]);
    expect(await list({ of: { agentKey: "b" } })).toEqual(["evil/eve/b", "evil/bob/b"]);
    expect(await list({ status: "revoked" })).toEqual(["evil/eve/default"]);
    const page = { numItems: 2, cursor: null };
    const first = await t.query(internal.factory.listBindings, { paginationOpts: page });
    expect(first.bindings).toHaveLength(2);
    expect(await list({ paginationOpts: { numItems: 2, cursor: first.cursor } })).toEqual([
      "acme/ada/default",
    ]);
  });
});

describe("the agent of a message", () => {
  type Options = {
    telegram?: Record<string, string | boolean>;
    overrides?: Record<string, string | boolean>;
  };

  /** Agent keys of what was queued for Ada, bound to `b`, and for a stranger; null: not queued. */
  async function agents({ telegram = {}, overrides = {} }: Options): Promise<Array<string | null>> {
    const t = await openWorld({ telegram });
    for (const agentKey of ["b", "c"]) await addAgent(t, agentKey);
    await bind(t, { ...paired, agentKey: "b" });
    const found: Array<string | null> = [];
    for (const user of [42, 77]) {
      const place = {
        chat: { id: user, type: "private" },
        from: { id: user, is_bot: false, first_name: "P" },
      };
      const before = (await messagesOf(t)).length;
      await t.mutation(internal.ingress.receive.receiveUpdate, {
        botSecretRef: SHARED_REF,
        body: JSON.stringify(messageUpdate("hi", place)),
        overrides,
      });
      found.push((await messagesOf(t))[before]?.agentKey ?? null);
    }
    return found;
  }

  test.each<[string, Options, Array<string | null>]>([
    ["by default the binding's, else `default`", {}, ["b", "default"]],
    ["another fallback", { telegram: { fallbackAgentKey: "c" } }, ["b", "c"]],
    ["bindings not resolved", { telegram: { resolveAgentKeyFromBinding: false } }, ["default", "default"]],
    ["a binding required", { telegram: { requireBindingForTelegram: true } }, ["b", null]],
    [
      "required, though not resolved",
      { telegram: { requireBindingForTelegram: true, resolveAgentKeyFromBinding: false } },
      ["default", null],
    ],
    [
      "the routes' own options over the runtime config's",
      {
        telegram: { requireBindingForTelegram: true, fallbackAgentKey: "c" },
        overrides: { requireBindingForTelegram: false, resolveAgentKeyFromBinding: false },
      },
      ["c", "c"],
    ],
  ])("%s", async (_, options, expected) => {
    expect(await agents(options)).toEqual(expected);
  });
});
