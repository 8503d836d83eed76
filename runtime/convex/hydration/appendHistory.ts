/** The one writer of a conversation's history: one row per message, in order. */
import type { MutationCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import type { OpenConversation } from "../queue/openConversation.ts";
import type { HistoryMessage } from "../validators.ts";
import { clipText } from "../policy/clipText.ts";

/** Rows per call. A turn adds a handful; more is a mistake. */
export const HISTORY_APPEND_MAX = 200;
/** Characters kept of one message; far below Convex's 1 MiB per document at 4 bytes each. */
export const HISTORY_CONTENT_MAX_CHARS = 100_000;
const CLIPPED = "\n[… clipped]";

/** Appends in the caller's transaction; the caller saves the conversation. */
export async function appendHistory(
  ctx: MutationCtx,
  open: OpenConversation,
  messages: readonly HistoryMessage[],
): Promise<void> {
  if (messages.length > HISTORY_APPEND_MAX) {
    throw new FactoryError(
      "invalid_argument",
      `history has ${messages.length} messages, the limit per call is ${HISTORY_APPEND_MAX}`,
    );
  }
  for (const message of messages) {
    await ctx.db.insert("conversationMessages", {
      conversation: open.id,
      seq: open.row.nextHistorySeq++,
      role: message.role,
      // Clipped rather than refused: an over-long row must not cost a person the answer.
      content:
        clipText(message.content, HISTORY_CONTENT_MAX_CHARS) +
        (message.content.length > HISTORY_CONTENT_MAX_CHARS ? CLIPPED : ""),
      // Never the caller's: only backend time counts, and a clock that is behind would age the row past the history window and retention.
      at: open.now,
    });
  }
}
