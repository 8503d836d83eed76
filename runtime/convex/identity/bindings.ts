/**
 * Bindings: which agent a person talks to. A person is (companyId, consumerUserId). At most one active binding per
 * person and per Telegram user; the former rows stay as history.
 */
import { v } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, internalQuery, type MutationCtx, type QueryCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { findAgent } from "./findAgent.ts";
import { NO_BINDING } from "../policy/addressing.ts";
import { vBindingSource } from "./tables.ts";

export type Person = { companyId?: string | undefined; consumerUserId: string };
type Binding = Doc<"identityBindings">;

/** Active rows that one person or Telegram user can have: more would be a defect, and all of them are closed. */
const ACTIVE_MAX = 20;
const ID_UNITS_MAX = 256;

/** The person's active binding. */
export async function activeBinding(ctx: QueryCtx, person: Person): Promise<Binding | null> {
  return await ctx.db
    .query("identityBindings")
    .withIndex("by_person", (q) =>
      q.eq("companyId", person.companyId).eq("consumerUserId", person.consumerUserId).eq("status", "active"),
    )
    .first();
}

export async function bindingOfTelegramUser(ctx: QueryCtx, telegramUserId: string): Promise<Binding | null> {
  return await ctx.db
    .query("identityBindings")
    .withIndex("by_telegram_user", (q) => q.eq("telegramUserId", telegramUserId).eq("status", "active"))
    .first();
}

/** The binding that names this chat: a group's, or the one of a private chat's person. */
export async function bindingOfTelegramChat(ctx: QueryCtx, telegramChatId: string): Promise<Binding | null> {
  return await ctx.db
    .query("identityBindings")
    .withIndex("by_telegram_chat", (q) => q.eq("telegramChatId", telegramChatId).eq("status", "active"))
    .first();
}

export type NewBinding = Person & {
  agentKey: string;
  source: Binding["source"];
  telegramUserId?: string | undefined;
  telegramChatId?: string | undefined;
  botSecretRef?: string | undefined;
  conversationId?: string | undefined;
};

/**
 * Binds, closing what was active for the person and for the Telegram user or group before, unless all is so already. Whoever is re-bound keeps
 * the Telegram account that they have paired, and with the same agent their conversation.
 */
export async function bind(
  ctx: MutationCtx,
  asked: NewBinding,
  now: number,
): Promise<Id<"identityBindings">> {
  requirePersonId(asked.consumerUserId);
  await requireEnabledAgent(ctx, asked.agentKey);
  const active = await activeBinding(ctx, asked);
  if (active !== null && says(active, given(asked))) return active._id;
  const binding = { ...inherited(active, asked), ...given(asked) };
  await closePerson(ctx, asked, "re-bound", now);
  const { telegramUserId, telegramChatId } = binding;
  if (telegramUserId !== undefined) {
    const others = await ctx.db
      .query("identityBindings")
      .withIndex("by_telegram_user", (q) => q.eq("telegramUserId", telegramUserId).eq("status", "active"))
      .take(ACTIVE_MAX);
    for (const other of others) await close(ctx, other, "telegram user bound to another person", now);
  }
  if (telegramUserId === undefined && telegramChatId !== undefined) {
    const others = await ctx.db
      .query("identityBindings")
      .withIndex("by_telegram_chat", (q) => q.eq("telegramChatId", telegramChatId).eq("status", "active"))
      .take(ACTIVE_MAX);
    for (const other of others) await close(ctx, other, "group bound to another person", now);
  }
  return await ctx.db.insert("identityBindings", { ...binding, status: "active", boundAt: now });
}

/** Whether the binding is as asked already: apps bind whom they see again, and history is for what has changed. */
function says(active: Binding, asked: NewBinding): boolean {
  return Object.entries(asked).every(([field, value]) => active[field as keyof NewBinding] === value);
}

/** What a new binding takes over from the one it replaces, for as far as it says nothing of it. */
function inherited(former: Binding | null, asked: NewBinding): Partial<NewBinding> {
  if (former === null) return {};
  const sameAgent = former.agentKey === asked.agentKey;
  // A bot of the former agent's own never reaches another agent; a shared one does.
  const botStays = sameAgent || former.botSecretRef !== `telegram.botToken.${former.agentKey}`;
  const namesTelegram = asked.telegramUserId !== undefined || asked.telegramChatId !== undefined;
  return given({
    ...(namesTelegram
      ? {}
      : {
          telegramUserId: former.telegramUserId,
          telegramChatId: former.telegramChatId,
          botSecretRef: botStays ? former.botSecretRef : undefined,
        }),
    conversationId: sameAgent ? former.conversationId : undefined,
  });
}

function given<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

/** @throws invalid_argument for a blank or overlong id. */
export function requirePersonId(consumerUserId: string): void {
  if (consumerUserId.trim() === "" || consumerUserId.length > ID_UNITS_MAX) {
    throw new FactoryError("invalid_argument", `consumerUserId must have 1 to ${ID_UNITS_MAX} characters`);
  }
}

/** @throws not_found for an agent that does not exist or is switched off. */
export async function requireEnabledAgent(ctx: QueryCtx, agentKey: string): Promise<void> {
  const profile = await findAgent(ctx, agentKey);
  if (profile === null || !profile.enabled) {
    throw new FactoryError("not_found", `Agent profile '${agentKey}' not found or disabled`);
  }
}

async function close(ctx: MutationCtx, binding: Binding, because: string, now: number): Promise<void> {
  await ctx.db.patch("identityBindings", binding._id, {
    status: "revoked",
    revokedAt: now,
    revokedBecause: because,
  });
}

/** Closes every active binding of the person; returns how many. */
async function closePerson(ctx: MutationCtx, person: Person, because: string, now: number): Promise<number> {
  const active = await ctx.db
    .query("identityBindings")
    .withIndex("by_person", (q) =>
      q.eq("companyId", person.companyId).eq("consumerUserId", person.consumerUserId).eq("status", "active"),
    )
    .take(ACTIVE_MAX);
  for (const binding of active) await close(ctx, binding, because, now);
  return active.length;
}

/** Pairing codes of one person that can be pending: one per agent, and far fewer than this. */
const CODES_MAX = 200;

/** Ends what the person has and what they could still use to come back: bindings and pending pairing codes. */
async function revokePerson(ctx: MutationCtx, person: Person, now: number): Promise<number> {
  const codes = await ctx.db
    .query("pairingCodes")
    .withIndex("by_person_status", (q) =>
      q.eq("companyId", person.companyId).eq("consumerUserId", person.consumerUserId).eq("status", "pending"),
    )
    .take(CODES_MAX);
  for (const code of codes) await ctx.db.patch("pairingCodes", code._id, { status: "expired" });
  return await closePerson(ctx, person, "revoked", now);
}

const vPerson = { consumerUserId: v.string(), companyId: v.optional(v.string()) };
const vResolved = v.object({
  agentKey: v.string(),
  consumerUserId: v.string(),
  companyId: v.union(v.string(), v.null()),
  conversationId: v.union(v.string(), v.null()),
  source: vBindingSource,
});

const resolved = (binding: Binding | null) =>
  binding === null
    ? null
    : {
        agentKey: binding.agentKey,
        consumerUserId: binding.consumerUserId,
        companyId: binding.companyId ?? null,
        conversationId: binding.conversationId ?? null,
        source: binding.source,
      };

export const bindUserAgent = internalMutation({
  args: {
    ...vPerson,
    agentKey: v.string(),
    source: v.optional(vBindingSource),
    telegramUserId: v.optional(v.string()),
    telegramChatId: v.optional(v.string()),
    botSecretRef: v.optional(v.string()),
    conversationId: v.optional(v.string()),
    actor: v.optional(v.string()),
  },
  returns: v.object({ bindingId: v.id("identityBindings") }),
  handler: async (ctx, { actor, source, ...binding }) => {
    const bindingId = await bind(ctx, { ...binding, source: source ?? "manual" }, Date.now());
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "binding.bind",
      target: binding.consumerUserId,
      outcome: "ok",
      detail: `agent ${binding.agentKey}, source ${source ?? "manual"}`,
    });
    return { bindingId };
  },
});

export const revokeUserAgentBinding = internalMutation({
  args: { ...vPerson, actor: v.optional(v.string()) },
  returns: v.object({ revoked: v.number() }),
  handler: async (ctx, { actor, ...person }) => {
    const revoked = await revokePerson(ctx, person, Date.now());
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "binding.revoke",
      target: person.consumerUserId,
      outcome: "ok",
      detail: `${revoked} revoked`,
    });
    return { revoked };
  },
});

export const resolveAgentForUser = internalQuery({
  args: vPerson,
  returns: v.union(vResolved, v.null()),
  handler: async (ctx, person) => resolved(await activeBinding(ctx, person)),
});

/** By Telegram user first, then by chat; null when neither is bound. */
export const resolveAgentForTelegram = internalQuery({
  args: { telegramUserId: v.optional(v.string()), telegramChatId: v.optional(v.string()) },
  returns: v.union(vResolved, v.null()),
  handler: async (ctx, { telegramUserId, telegramChatId }) => {
    const byUser = telegramUserId === undefined ? null : await bindingOfTelegramUser(ctx, telegramUserId);
    if (byUser !== null) return resolved(byUser);
    return telegramChatId === undefined ? null : resolved(await bindingOfTelegramChat(ctx, telegramChatId));
  },
});

const vBindingView = v.object({
  agentKey: v.string(),
  status: v.union(v.literal("active"), v.literal("revoked")),
  source: vBindingSource,
  telegramUserId: v.union(v.string(), v.null()),
  telegramChatId: v.union(v.string(), v.null()),
  conversationId: v.union(v.string(), v.null()),
  boundAt: v.number(),
  revokedAt: v.union(v.number(), v.null()),
  revokedBecause: v.union(v.string(), v.null()),
});

const HISTORY_MAX = 50;

/** The person's active binding and the latest former ones, newest first. */
export const getUserAgentBinding = internalQuery({
  args: vPerson,
  returns: v.object({ active: v.union(vBindingView, v.null()), history: v.array(vBindingView) }),
  handler: async (ctx, { companyId, consumerUserId }) => {
    const active = await activeBinding(ctx, { companyId, consumerUserId });
    const history = await ctx.db
      .query("identityBindings")
      .withIndex("by_person", (q) =>
        q.eq("companyId", companyId).eq("consumerUserId", consumerUserId).eq("status", "revoked"),
      )
      .order("desc")
      .take(HISTORY_MAX);
    return { active: active === null ? null : view(active), history: history.map(view) };
  },
});

function view(binding: Binding) {
  return {
    agentKey: binding.agentKey,
    status: binding.status,
    source: binding.source,
    telegramUserId: binding.telegramUserId ?? null,
    telegramChatId: binding.telegramChatId ?? null,
    conversationId: binding.conversationId ?? null,
    boundAt: binding.boundAt,
    revokedAt: binding.revokedAt ?? null,
    revokedBecause: binding.revokedBecause ?? null,
  };
}

/** The caller's agent key. @throws not_found when the person has no active binding. */
export const myAgentKey = internalQuery({
  args: vPerson,
  returns: v.string(),
  handler: async (ctx, person) => {
    const binding = await activeBinding(ctx, person);
    if (binding === null) throw new FactoryError("not_found", NO_BINDING.replace("telegram user", "user"));
    return binding.agentKey;
  },
});
