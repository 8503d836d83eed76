/** Outgoing webhook events as operators see them: what was given up, and trying it again. */
import { paginationOptsValidator } from "convex/server";
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation, internalQuery, type QueryCtx } from "../_generated/server.js";
import type { Doc } from "../_generated/dataModel.js";
import { recordAudit } from "../audit/record.ts";
import { BATCH_BYTES } from "../policy/takeWithin.ts";
import { FactoryError } from "../errors.ts";

const PAGE_MAX = 100;

const vState = v.union(v.literal("pending"), v.literal("delivered"), v.literal("failed"));
const vListed = v.object({
  id: v.id("webhookEvents"),
  eventId: v.string(),
  /** null: the endpoint was deleted. */
  endpoint: v.union(v.object({ companyId: v.string(), url: v.string() }), v.null()),
  state: vState,
  attempts: v.number(),
  createdAt: v.number(),
  finishedAt: v.union(v.number(), v.null()),
  lastError: v.union(v.string(), v.null()),
});

async function listed(ctx: QueryCtx, event: Doc<"webhookEvents">): Promise<Infer<typeof vListed>> {
  const endpoint = await ctx.db.get("webhookEndpoints", event.endpointId);
  return {
    id: event._id,
    eventId: event.eventId,
    endpoint: endpoint === null ? null : { companyId: endpoint.companyId, url: endpoint.url },
    state: event.state,
    attempts: event.attempts,
    createdAt: event.createdAt,
    finishedAt: event.finishedAt ?? null,
    lastError: event.lastError ?? null,
  };
}

/** `factory:listWebhookEvents`: latest first; by default those that were given up. Never what they say. */
export const listWebhookEvents = internalQuery({
  args: { state: v.optional(vState), paginationOpts: v.optional(paginationOptsValidator) },
  returns: v.object({ events: v.array(vListed), cursor: v.union(v.string(), v.null()) }),
  handler: async (ctx, { state = "failed", paginationOpts }) => {
    const opts = paginationOpts ?? { numItems: PAGE_MAX, cursor: null };
    const page = await ctx.db
      .query("webhookEvents")
      .withIndex("by_state_finished", (q) => q.eq("state", state))
      .order("desc")
      .paginate({ ...opts, numItems: Math.min(PAGE_MAX, opts.numItems), maximumBytesRead: BATCH_BYTES });
    return {
      events: await Promise.all(page.page.map((event) => listed(ctx, event))),
      cursor: page.isDone ? null : page.continueCursor,
    };
  },
});

/** `factory:retryWebhookEvent`: a given-up event begins anew, with all its attempts; receivers know it by its id. */
export const retryWebhookEvent = internalMutation({
  args: { id: v.id("webhookEvents"), actor: v.optional(v.string()) },
  returns: v.boolean(),
  handler: async (ctx, { id, actor }) => {
    const event = await ctx.db.get("webhookEvents", id);
    if (event === null) throw new FactoryError("not_found", `Webhook event '${id}' not found`);
    if (event.state !== "failed") return false;
    await ctx.db.patch("webhookEvents", id, {
      state: "pending",
      attempts: 0,
      nextAttemptAt: Date.now(),
      finishedAt: undefined,
    });
    await ctx.scheduler.runAfter(0, internal.api.events.deliverEvent, { id });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "webhook_event.retry",
      target: event.eventId,
      outcome: "ok",
    });
    return true;
  },
});
