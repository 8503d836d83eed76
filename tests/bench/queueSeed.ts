/**
 * Fills the queue in bulk, for `bench:queue` alone: deployed only in the bench's own copy of the backend, because
 * 100,000 calls over HTTP would take longer than what is measured. Messages still come in by the product's door.
 */
import { v } from "convex/values";
import { internalMutation } from "../../runtime/convex/_generated/server.js";
import { enqueueMessage } from "../../runtime/convex/queue/enqueue.ts";

const WORKERS_MAX = 100;

/** Messages `from` to `from + count`: all of one conversation, or each of its own. */
export const messages = internalMutation({
  args: { from: v.number(), count: v.number(), conversation: v.union(v.string(), v.null()) },
  returns: v.null(),
  handler: async (ctx, { from, count, conversation }) => {
    for (let index = from; index < from + count; index++) {
      await enqueueMessage(ctx, {
        conversationId: conversation ?? `seed-${index}`,
        agentKey: "default",
        payload: {
          provider: "test",
          providerUserId: "u1",
          messageText: `message ${index}`,
          externalMessageId: String(index),
        },
        destination: null,
      });
    }
    return null;
  },
});

/**
 * Whether enqueue finds a free worker. While the queue is filled nobody may seem free, or every message would be
 * looked after as one that its worker does not fetch.
 */
export const showFreeSlots = internalMutation({
  args: { free: v.boolean() },
  returns: v.null(),
  handler: async (ctx, { free }) => {
    const active = await ctx.db
      .query("workers")
      .withIndex("by_stopped_at", (q) => q.eq("state", "active"))
      .take(WORKERS_MAX);
    for (const worker of active) await ctx.db.patch("workers", worker._id, { hasFreeSlot: free });
    return null;
  },
});

/** Rows of workers whose machines are gone. */
export const deadWorkers = internalMutation({
  args: { count: v.number() },
  returns: v.null(),
  handler: async (ctx, { count }) => {
    const now = Date.now();
    for (let index = 0; index < count; index++) {
      await ctx.db.insert("workers", {
        workerId: `w-dead-${index}`,
        state: "stopped",
        image: "registry.fly.io/af-races@sha256:0",
        configRevision: 1,
        specHash: "bench",
        load: 0,
        slots: 4,
        hasFreeSlot: false,
        canary: false,
        createdAt: now,
        stoppedAt: now,
        turnsDone: 0,
        turnsFailed: 0,
      });
    }
    return null;
  },
});
