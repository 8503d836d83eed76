/** One-time pairing codes: made for a signed-in person of a consumer app, used once in Telegram as `/start <code>`. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import {
  internalAction,
  internalMutation,
  internalQuery,
  type MutationCtx,
  type QueryCtx,
} from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import {
  afterFailure,
  attemptsExhausted,
  decideConsume,
  effectiveStatus,
  isPairingCodeShape,
  PAIRING_RANDOM_BYTES,
  PAIRING_TTL_DEFAULT_MS,
  PAIRING_TTL_MAX_MS,
  PAIRING_TTL_MIN_MS,
  pairingCodeFrom,
  pairingErrors,
} from "../policy/pairing.ts";
import { sha256Hex } from "../secrets/digest.ts";
import { bind, bindingOfTelegramUser, requireEnabledAgent, requirePersonId } from "./bindings.ts";

type Code = Doc<"pairingCodes">;

/** Pending codes of one pair: there is at most one, and this bounds the read. */
const PENDING_MAX = 20;

async function findCode(ctx: QueryCtx, code: string): Promise<Code | null> {
  if (!isPairingCodeShape(code)) return null;
  const codeHash = await sha256Hex(code);
  return await ctx.db
    .query("pairingCodes")
    .withIndex("by_hash", (q) => q.eq("codeHash", codeHash))
    .unique();
}

/** The bot that serves an agent: its own when one delivers here, else the shared one. */
async function deepLinkBase(ctx: QueryCtx, agentKey: string): Promise<string | null> {
  for (const secretRef of [
    `telegram.botToken.${agentKey}`,
    "telegram.botToken.default",
    "telegram.botToken",
  ]) {
    const bot = await ctx.db
      .query("telegramBots")
      .withIndex("by_secret_ref", (q) => q.eq("secretRef", secretRef))
      .unique();
    // One whose webhook was deleted is remembered, but what is said to it arrives nowhere.
    if (bot?.username !== undefined && bot.webhookUrl !== undefined)
      return `https://t.me/${bot.username}?start=`;
  }
  return null;
}

type NewCode = { code: string; expiresAt: number; deepLink: string | null };

/**
 * Makes a code. Earlier pending codes of the same person and agent end. The code is returned here and nowhere else:
 * only its hash is stored. `deepLink` is null until a webhook of a serving bot is configured.
 *
 * An action, since only actions have cryptographic randomness.
 */
export const createPairingCode = internalAction({
  args: {
    consumerUserId: v.string(),
    companyId: v.optional(v.string()),
    agentKey: v.string(),
    ttlMs: v.optional(v.number()),
    actor: v.optional(v.string()),
  },
  returns: v.object({ code: v.string(), expiresAt: v.number(), deepLink: v.union(v.string(), v.null()) }),
  handler: async (ctx, args): Promise<NewCode> => {
    const code = pairingCodeFrom(crypto.getRandomValues(new Uint8Array(PAIRING_RANDOM_BYTES)));
    const stored: { expiresAt: number; deepLinkBase: string | null } = await ctx.runMutation(
      internal.identity.pairing.storePairingCode,
      { ...args, codeHash: await sha256Hex(code) },
    );
    const base = stored.deepLinkBase;
    return { code, expiresAt: stored.expiresAt, deepLink: base === null ? null : `${base}${code}` };
  },
});

export const storePairingCode = internalMutation({
  args: {
    consumerUserId: v.string(),
    companyId: v.optional(v.string()),
    agentKey: v.string(),
    ttlMs: v.optional(v.number()),
    actor: v.optional(v.string()),
    codeHash: v.string(),
  },
  returns: v.object({ expiresAt: v.number(), deepLinkBase: v.union(v.string(), v.null()) }),
  handler: async (ctx, args) => {
    const { consumerUserId, companyId, agentKey, ttlMs = PAIRING_TTL_DEFAULT_MS, actor, codeHash } = args;
    if (!(ttlMs >= PAIRING_TTL_MIN_MS && ttlMs <= PAIRING_TTL_MAX_MS)) {
      throw new FactoryError(
        "invalid_argument",
        `ttlMs must be between ${PAIRING_TTL_MIN_MS} and ${PAIRING_TTL_MAX_MS} (1 minute to 24 hours)`,
      );
    }
    requirePersonId(consumerUserId);
    await requireEnabledAgent(ctx, agentKey);
    const now = Date.now();
    const earlier = await ctx.db
      .query("pairingCodes")
      .withIndex("by_pair", (q) =>
        q
          .eq("companyId", companyId)
          .eq("consumerUserId", consumerUserId)
          .eq("agentKey", agentKey)
          .eq("status", "pending"),
      )
      .take(PENDING_MAX);
    for (const code of earlier) await ctx.db.patch("pairingCodes", code._id, { status: "expired" });
    const expiresAt = now + ttlMs;
    await ctx.db.insert("pairingCodes", {
      codeHash,
      companyId,
      consumerUserId,
      agentKey,
      status: "pending",
      createdAt: now,
      expiresAt,
    });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "pairing.create",
      target: consumerUserId,
      outcome: "ok",
      detail: `agent ${agentKey}`,
    });
    return { expiresAt, deepLinkBase: await deepLinkBase(ctx, agentKey) };
  },
});

export type PairingResult =
  { status: "used"; consumerUserId: string; agentKey: string } | { status: "failed"; error: string };

export type PairingAttempt = {
  code: string;
  telegramUserId: string;
  telegramChatId: string;
  botSecretRef: string;
  /** Agent of a dedicated bot: codes of other agents do not exist there. null for the shared bot. */
  botAgentKey: string | null;
};

/**
 * Uses a code: binds the person to the agent through this chat. Failures count against the Telegram user, but for
 * one: who opens their own link a second time. `isOwn`: the code has worked for this very Telegram user, and still
 * does.
 */
export async function consumeCode(
  ctx: MutationCtx,
  attempt: PairingAttempt,
  now: number,
): Promise<{ result: PairingResult; isOwn: boolean }> {
  const refused = (error: string, isOwn = false) => ({ result: { status: "failed" as const, error }, isOwn });
  const { telegramUserId } = attempt;
  const attempts = await ctx.db
    .query("pairingAttempts")
    .withIndex("by_telegram_user", (q) => q.eq("telegramUserId", telegramUserId))
    .unique();
  if (attemptsExhausted(attempts, now)) return refused(pairingErrors.tooManyAttempts);

  const found = await findCode(ctx, attempt.code);
  const usable = found !== null && (attempt.botAgentKey === null || attempt.botAgentKey === found.agentKey);
  const decision = decideConsume(usable ? found : null, now);
  if (!decision.ok || found === null) {
    const error = decision.ok ? pairingErrors.notFound : decision.error;
    if (usable && (await isOwnCode(ctx, found, telegramUserId))) return refused(error, true);
    const failure = afterFailure(attempts, now);
    if (attempts === null) await ctx.db.insert("pairingAttempts", { telegramUserId, ...failure });
    else await ctx.db.patch("pairingAttempts", attempts._id, failure);
    return refused(error);
  }
  await ctx.db.patch("pairingCodes", found._id, { status: "used", usedAt: now, telegramUserId });
  if (attempts !== null) await ctx.db.delete("pairingAttempts", attempts._id);
  const person = { companyId: found.companyId, consumerUserId: found.consumerUserId };
  await bind(
    ctx,
    {
      ...person,
      agentKey: found.agentKey,
      source: "telegram_pairing",
      telegramUserId,
      telegramChatId: attempt.telegramChatId,
      botSecretRef: attempt.botSecretRef,
    },
    now,
  );
  await recordAudit(ctx, {
    actor: `telegram:${telegramUserId}`,
    action: "pairing.use",
    target: found.consumerUserId,
    outcome: "ok",
    detail: `agent ${found.agentKey}`,
  });
  const { consumerUserId, agentKey } = found;
  return { result: { status: "used", consumerUserId, agentKey }, isOwn: true };
}

/** Whether the code made the binding that the Telegram user has. */
async function isOwnCode(ctx: QueryCtx, code: Code, telegramUserId: string): Promise<boolean> {
  if (code.status !== "used" || code.telegramUserId !== telegramUserId) return false;
  const binding = await bindingOfTelegramUser(ctx, telegramUserId);
  return (
    binding?.agentKey === code.agentKey &&
    binding.consumerUserId === code.consumerUserId &&
    binding.companyId === code.companyId
  );
}

/** The same for callers with another way in than our webhook. */
export const consumePairingCode = internalMutation({
  args: {
    code: v.string(),
    telegramUserId: v.string(),
    telegramChatId: v.string(),
    botSecretRef: v.optional(v.string()),
  },
  returns: v.union(
    v.object({ status: v.literal("used"), consumerUserId: v.string(), agentKey: v.string() }),
    v.object({ status: v.literal("failed"), error: v.string() }),
  ),
  handler: async (
    ctx,
    { code, telegramUserId, telegramChatId, botSecretRef = "telegram.botToken.default" },
  ) => {
    // Failures are returned rather than thrown: a throw would roll the count of failed attempts back.
    const attempt = { code, telegramUserId, telegramChatId, botSecretRef, botAgentKey: null };
    return (await consumeCode(ctx, attempt, Date.now())).result;
  },
});

/** What a code reads as now; null for one that does not exist. */
export const getPairingCodeStatus = internalQuery({
  args: { code: v.string(), companyId: v.optional(v.string()) },
  returns: v.union(
    v.object({
      status: v.union(v.literal("pending"), v.literal("used"), v.literal("expired")),
      consumerUserId: v.string(),
      agentKey: v.string(),
      expiresAt: v.number(),
      usedAt: v.union(v.number(), v.null()),
    }),
    v.null(),
  ),
  handler: async (ctx, { code, companyId }) => {
    const found = await findCode(ctx, code);
    if (found === null || (companyId !== undefined && found.companyId !== companyId)) return null;
    return {
      status: effectiveStatus(found, Date.now()),
      consumerUserId: found.consumerUserId,
      agentKey: found.agentKey,
      expiresAt: found.expiresAt,
      usedAt: found.usedAt ?? null,
    };
  },
});
