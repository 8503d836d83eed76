/**
 * Fills the queue in bulk, for `bench:queue` alone: deployed only in the bench's own copy of the backend, because
 * 100,000 calls over HTTP would take longer than what is measured.
 */
import { v } from "convex/values";
import { internalMutation } from "../../runtime/convex/_generated/server.js";
import { emptyTally, saveTally } from "../../runtime/convex/queue/counters.ts";
import { enqueueMessage } from "../../runtime/convex/queue/enqueue.ts";
import { findHead } from "../../runtime/convex/queue/heads.ts";

const WORKERS_MAX = 100;

/**
 * Messages `from` to `from + count`: all of one conversation, or each of its own. The first comes in by the
 * product's door; the others are copies of the rows that it has made.
 */
export const messages = internalMutation({
  args: { from: v.number(), count: v.number(), conversation: v.union(v.string(), v.null()) },
  returns: v.null(),
  handler: async (ctx, { from, count, conversation }) => {
    const { messageId } = await enqueueMessage(ctx, {
      conversationId: conversation ?? `seed-${from}`,
      agentKey: "default",
      payload: {
        provider: "test",
        providerUserId: "u1",
        messageText: `message ${from}`,
        externalMessageId: String(from),
      },
      destination: null,
    });
    const message = await ctx.db.get("messageQueue", messageId);
    const row = message === null ? null : await ctx.db.get("conversations", message.conversation);
    if (message === null || row === null) throw new Error("what was just accepted cannot be read");
    const head = await findHead(ctx, row._id);
    const { _id: _m, _creationTime: _mc, ...messageFields } = message;
    const { _id: _r, _creationTime: _rc, ...rowFields } = row;
    for (let index = from + 1; index < from + count; index++) {
      const payload = { ...message.payload, externalMessageId: String(index) };
      if (conversation !== null) {
        const seq = message.seq + index - from;
        await ctx.db.insert("messageQueue", { ...messageFields, payload, seq });
        continue;
      }
      if (head === null) throw new Error("a conversation of its own has no head");
      const { _id: _h, _creationTime: _hc, ...headFields } = head;
      const conversationId = `seed-${index}`;
      const id = await ctx.db.insert("conversations", { ...rowFields, conversationId });
      const copy = { ...messageFields, payload, conversation: id, conversationId };
      const copied = await ctx.db.insert("messageQueue", copy);
      await ctx.db.insert("conversationHeads", { ...headFields, conversation: id, message: copied });
    }
    const more = count - 1;
    if (conversation !== null) {
      const { nextSeq, queuedCount } = row;
      await ctx.db.patch("conversations", row._id, {
        nextSeq: nextSeq + more,
        queuedCount: queuedCount + more,
      });
    }
    const heads = conversation === null ? more : 0;
    await saveTally(ctx, row.conversationId, { ...emptyTally(), queued: more, headsReady: heads });
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
