/** Reading a conversation's history. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { estimateTokens, historyOldestAt } from "../policy/historyWindow.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";

/** Rows in one bundle, whatever their size. */
export const WINDOW_ROWS_MAX = 400;

type Row = Pick<Doc<"conversationMessages">, "role" | "content" | "at">;

/**
 * The newest rows that fit the window, oldest first: at most historyTokensMax tokens, none older than
 * historyDaysMax, none up to `after` (what the worker holds already).
 */
export async function historyWindow(
  ctx: QueryCtx,
  conversation: Id<"conversations">,
  policy: RuntimeConfig["hydration"],
  after: number,
  now: number,
): Promise<Row[]> {
  const oldestAt = historyOldestAt(policy, now);
  const newestFirst = ctx.db
    .query("conversationMessages")
    .withIndex("by_conversation_seq", (q) => q.eq("conversation", conversation).gt("seq", after))
    .order("desc");
  const rows: Row[] = [];
  let tokens = 0;
  for await (const { role, content, at } of newestFirst) {
    tokens += estimateTokens(content);
    if (tokens > policy.historyTokensMax || at < oldestAt || rows.length >= WINDOW_ROWS_MAX) break;
    rows.push({ role, content, at });
  }
  return rows.reverse();
}
