/** Bindings as an operator looks through them, over all people and companies. */
import { paginationOptsValidator } from "convex/server";
import { type Infer, v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalQuery } from "../_generated/server.js";
import { vBindingSource } from "./tables.ts";

const PAGE_MAX = 200;

const vStatus = v.union(v.literal("active"), v.literal("revoked"));
const vListed = v.object({
  bindingId: v.id("identityBindings"),
  companyId: v.union(v.string(), v.null()),
  consumerUserId: v.string(),
  agentKey: v.string(),
  status: vStatus,
  source: vBindingSource,
  telegramUserId: v.union(v.string(), v.null()),
  telegramChatId: v.union(v.string(), v.null()),
  botSecretRef: v.union(v.string(), v.null()),
  conversationId: v.union(v.string(), v.null()),
  boundAt: v.number(),
  revokedAt: v.union(v.number(), v.null()),
  revokedBecause: v.union(v.string(), v.null()),
});

function listed(binding: Doc<"identityBindings">): Infer<typeof vListed> {
  return {
    bindingId: binding._id,
    companyId: binding.companyId ?? null,
    consumerUserId: binding.consumerUserId,
    agentKey: binding.agentKey,
    status: binding.status,
    source: binding.source,
    telegramUserId: binding.telegramUserId ?? null,
    telegramChatId: binding.telegramChatId ?? null,
    botSecretRef: binding.botSecretRef ?? null,
    conversationId: binding.conversationId ?? null,
    boundAt: binding.boundAt,
    revokedAt: binding.revokedAt ?? null,
    revokedBecause: binding.revokedBecause ?? null,
  };
}

/**
 * `factory:listBindings`: latest first, page by page. Of one company, of one agent, or of everybody; active ones unless
 * `status` says otherwise. A company and an agent together are not asked for at once.
 */
export const listBindings = internalQuery({
  args: {
    of: v.optional(v.union(v.object({ companyId: v.string() }), v.object({ agentKey: v.string() }))),
    status: v.optional(vStatus),
    paginationOpts: v.optional(paginationOptsValidator),
  },
  returns: v.object({ bindings: v.array(vListed), cursor: v.union(v.string(), v.null()) }),
  handler: async (ctx, { of, status = "active", paginationOpts }) => {
    const opts = paginationOpts ?? { numItems: PAGE_MAX, cursor: null };
    const rows = ctx.db.query("identityBindings");
    const chosen =
      of === undefined
        ? rows.withIndex("by_status", (q) => q.eq("status", status))
        : "companyId" in of
          ? rows.withIndex("by_company_status", (q) => q.eq("companyId", of.companyId).eq("status", status))
          : rows.withIndex("by_agent_status", (q) => q.eq("agentKey", of.agentKey).eq("status", status));
    const page = await chosen
      .order("desc")
      .paginate({ ...opts, numItems: Math.min(PAGE_MAX, opts.numItems) });
    return { bindings: page.page.map(listed), cursor: page.isDone ? null : page.continueCursor };
  },
});
