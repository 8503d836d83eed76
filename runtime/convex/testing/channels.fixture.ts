/**
 * A deployment in memory for the tests of the channels: config applied, an agent, a bot, and a Telegram that records
 * what it is asked and answers as told. The file's two dots keep it out of deployments.
 */
import { convexTest, type TestConvex } from "convex-test";
import { vi } from "vitest";
import { internal } from "../_generated/api.js";
import { type RuntimeConfigInput, runtimeConfigSchema } from "../policy/runtimeConfig.ts";
import schema from "../schema.ts";
import { hmacBase64Url, utf8 } from "../secrets/digest.ts";

export const modules = import.meta.glob([
  "../**/*.ts",
  "../_generated/*.js",
  "!../**/*.test.ts",
  "!../**/*.fixture.ts",
]);

export type World = TestConvex<typeof schema>;

export const MASTER_SECRET = "current-master-secret-0123456789";
export const PREVIOUS_SECRET = "previous-master-secret-0123456789";
export const SHARED_REF = "telegram.botToken.default";
export const SHARED_TOKEN = "900:shared-bot-token-value";
export const API_URL = "https://telegram.example";
export const NOW = 1_800_000_000_000;

export type ChannelOptions = { telegram?: RuntimeConfigInput["telegram"] };

/** Sets the deployment's environment; call in beforeEach, with fake timers on. */
export function setEnvironment(): void {
  process.env["TELEGRAM_WEBHOOK_SECRETS"] = JSON.stringify({
    current: MASTER_SECRET,
    previous: PREVIOUS_SECRET,
  });
  process.env["SECRETS_KEY_RING"] = JSON.stringify({ active: "k1", keys: { k1: btoa("0".repeat(32)) } });
  process.env["FACTORY_OWNER"] = "project/test";
  process.env["CONVEX_SITE_URL"] = "https://happy-otter-1.convex.site";
  process.env["CONVEX_CLOUD_URL"] = "https://happy-otter-1.convex.cloud";
}

/** A world with one enabled agent `default` and the shared bot. */
export async function openWorld(options: ChannelOptions = {}): Promise<World> {
  setEnvironment();
  const t = convexTest({ schema, modules, transactionLimits: true });
  const config = runtimeConfigSchema.parse({
    provider: {
      appName: "app",
      organizationSlug: "personal",
      image: `registry.fly.io/app@sha256:${"0".repeat(64)}`,
      regions: ["fra"],
    },
    telegram: { apiUrl: API_URL, ...options.telegram },
  });
  await t.run(async (ctx) => {
    await ctx.db.insert("runtimeConfig", {
      revision: 1,
      config,
      appliedBy: "test",
      appliedAt: Date.now(),
      owner: "project/test",
    });
  });
  await addAgent(t, "default");
  await addBot(t, SHARED_REF, SHARED_TOKEN, "helper_bot");
  return t;
}

export async function addAgent(t: World, agentKey: string, enabled = true): Promise<void> {
  await t.run(async (ctx) => {
    await ctx.db.insert("agentProfiles", {
      agentKey,
      version: "1",
      revision: 1,
      soulMd: "",
      skills: [],
      secretsRef: [],
      bridgeFunctions: [],
      toolPolicy: { allow: [] },
      enabled,
      updatedAt: Date.now(),
    });
  });
}

export async function addBot(t: World, secretRef: string, token: string, username: string): Promise<void> {
  await t.action(internal.secrets.importSecret.importSecret, { secretRef, plaintextValue: token });
  await t.run(async (ctx) => {
    const webhookUrl = "https://happy-otter-1.convex.site/agent-factory/telegram/webhook";
    const facts = { botId: token.split(":")[0] ?? "", username, webhookUrl, configuredAt: Date.now() };
    await ctx.db.insert("telegramBots", { secretRef, ...facts });
  });
}

export async function headerOf(secretRef: string, master = MASTER_SECRET): Promise<string> {
  return await hmacBase64Url(utf8(master), secretRef);
}

export type Delivery = {
  body: unknown;
  path?: string;
  secretRef?: string;
  /** null: no header at all. */
  header?: string | null;
};

/** Delivers an update as Telegram would. */
export async function deliver(
  t: World,
  { body, path, secretRef = SHARED_REF, header }: Delivery,
): Promise<Response> {
  const value = header === undefined ? await headerOf(secretRef) : header;
  return await t.fetch(path ?? "/agent-factory/telegram/webhook", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(value === null ? {} : { "X-Telegram-Bot-Api-Secret-Token": value }),
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

let lastUpdateId = 1_000;

/** A text message of a private chat, unless said otherwise. */
export function messageUpdate(
  text: string | undefined,
  message: Record<string, unknown> = {},
): Record<string, unknown> {
  lastUpdateId += 1;
  return {
    update_id: lastUpdateId,
    message: {
      message_id: lastUpdateId,
      date: 1,
      chat: { id: 42, type: "private" },
      from: { id: 42, is_bot: false, first_name: "Ada" },
      ...(text === undefined ? {} : { text }),
      ...message,
    },
  };
}

export type TelegramCallSeen = { token: string; method: string; body: Record<string, unknown> };
type Answer = { status?: number; json?: unknown; hang?: true; fail?: Error };

/** Replaces fetch by a Bot API that accepts everything, or answers what `plan` says for a call. */
export function fakeTelegram(plan: (call: TelegramCallSeen, index: number) => Answer | null = () => null): {
  calls: TelegramCallSeen[];
  /** Texts sent, in order. */
  texts(): string[];
} {
  const calls: TelegramCallSeen[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const [, token = "", method = ""] = /\/bot([^/]+)\/(\w+)$/.exec(url) ?? [];
    const body =
      init.body instanceof FormData
        ? Object.fromEntries(init.body.entries())
        : (JSON.parse(init.body as string) as Record<string, unknown>);
    const call = { token, method, body };
    calls.push(call);
    const answer = plan(call, calls.length - 1) ?? {};
    if (answer.fail !== undefined) throw answer.fail;
    if (answer.hang === true) {
      return await new Promise<Response>((_resolve, reject) => {
        init.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error));
      });
    }
    const json = answer.json ?? { ok: true, result: { message_id: calls.length } };
    return new Response(JSON.stringify(json), { status: answer.status ?? 200 });
  });
  return {
    calls,
    texts: () =>
      calls.filter(({ method }) => method === "sendMessage").map(({ body }) => String(body["text"])),
  };
}

/** Lets that much time pass, and whatever became due finish. */
export async function pass(t: World, ms: number): Promise<void> {
  vi.advanceTimersByTime(ms);
  await t.finishInProgressScheduledFunctions();
}

/** Lets that much time pass second by second: for worlds in which something (the scaler's loop) never rests. */
export async function elapse(t: World, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) await pass(t, 1_000);
  await t.finishInProgressScheduledFunctions();
}

const STEPS_MAX = 2_000;

/** Lets everything that is scheduled happen, time passing in steps of `stepMs`. */
export async function settle(t: World, stepMs = 1_000): Promise<void> {
  for (let step = 0; step < STEPS_MAX; step += 1) {
    await t.finishInProgressScheduledFunctions();
    if (vi.getTimerCount() === 0) return;
    await pass(t, stepMs);
  }
  throw new Error(`something is still scheduled after ${STEPS_MAX} steps of ${stepMs} ms`);
}
