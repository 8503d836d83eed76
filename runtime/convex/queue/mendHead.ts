/**
 * A head whose message or conversation is gone. The queue never makes one, a row deleted in the dashboard does; the
 * first in order stands in the way of every claim, so that one such row would end the service for everybody.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { emptyTally, saveTally } from "./counters.ts";
import { type HeadChange, refreshHead } from "./heads.ts";
import { openConversation, saveConversation } from "./openConversation.ts";

/** Makes a head at rest true again, or takes it away. `message` is what it points at. */
export async function mendHead(
  ctx: MutationCtx,
  head: Doc<"conversationHeads">,
  message: Doc<"messageQueue"> | null,
  now: number,
): Promise<HeadChange> {
  const conversation = await ctx.db.get("conversations", head.conversation);
  console.error(
    `queue: mended head ${head._id}, whose message ${head.message} or conversation ${head.conversation} is gone`,
  );
  if (conversation === null) {
    const tally = { ...emptyTally(), headsReady: head.state === "ready" ? -1 : 0 };
    await ctx.db.delete("conversationHeads", head._id);
    await saveTally(ctx, message?.conversationId ?? head.conversation, tally);
    return { state: "none", becameReady: false };
  }
  const open = openConversation(conversation, now);
  if (message === null) {
    open.row.queuedCount = Math.max(0, open.row.queuedCount - 1);
    open.tally.queued -= 1;
    if (head.state === "delayed") open.tally.delayed -= 1;
  }
  const change = await refreshHead(ctx, open, { known: head });
  await saveConversation(ctx, open);
  return change;
}
