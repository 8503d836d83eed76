/** A conversation's history, page by page, newest first. */
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { internalQuery } from "../_generated/server.js";
import { BATCH_BYTES } from "../policy/takeWithin.ts";
import { findConversation } from "../queue/openConversation.ts";
import { vHistoryRole } from "../validators.ts";

const PAGE_MAX = 100;

/** `factory:listConversationMessages`. Empty for an unknown conversation. */
export const listConversationMessages = internalQuery({
  args: { conversationId: v.string(), paginationOpts: v.optional(paginationOptsValidator) },
  returns: v.object({
    messages: v.array(v.object({ seq: v.number(), role: vHistoryRole, content: v.string(), at: v.number() })),
    cursor: v.union(v.string(), v.null()),
  }),
  handler: async (ctx, { conversationId, paginationOpts }) => {
    const conversation = await findConversation(ctx, conversationId);
    if (conversation === null) return { messages: [], cursor: null };
    const opts = paginationOpts ?? { numItems: PAGE_MAX, cursor: null };
    const page = await ctx.db
      .query("conversationMessages")
      .withIndex("by_conversation_seq", (q) => q.eq("conversation", conversation._id))
      .order("desc")
      .paginate({ ...opts, numItems: Math.min(PAGE_MAX, opts.numItems), maximumBytesRead: BATCH_BYTES });
    return {
      messages: page.page.map(({ seq, role, content, at }) => ({ seq, role, content, at })),
      cursor: page.isDone ? null : page.continueCursor,
    };
  },
});
