import type { Bot } from "../accounts.ts";
import { recordAttempt } from "../attempts.ts";
import type { Core } from "../core.ts";
import { badRequest } from "../errors.ts";
import { findUpdate } from "../updates.ts";
import { postUpdate } from "../webhookPost.ts";
import { findWebhook } from "../webhooks.ts";

/** How one copy was answered. */
export interface CopyResult {
  /** Null when no answer came. */
  status: number | null;
  ms: number;
  error?: string;
}

/**
 * Sends copies of an update to the bot's webhook, at most `concurrency` at once, past the queue: what Telegram does
 * when it missed the first answer, only worse.
 */
export async function sendCopies(
  core: Core,
  bot: Bot,
  input: { update_id: number; copies: number; concurrency: number },
  timeoutMs: number,
  stopped: AbortSignal,
): Promise<CopyResult[]> {
  const update = findUpdate(core, bot.id, input.update_id);
  if (!update) throw badRequest(`bot @${bot.username} has no update ${input.update_id}`);
  const webhook = findWebhook(core, bot.id);
  if (!webhook) throw badRequest(`bot @${bot.username} has no webhook`);
  const results: CopyResult[] = [];
  let started = 0;
  const sender = async (): Promise<void> => {
    while (started < input.copies) {
      started++;
      const at = core.now();
      const outcome = await postUpdate(webhook, update.body, stopped, timeoutMs);
      if (stopped.aborted) return;
      recordAttempt(core, bot.id, { updateId: update.updateId, at, outcome, copy: true });
      results.push({
        status: outcome.status ?? null,
        ms: outcome.ms,
        ...(outcome.kind === "failed" ? { error: outcome.error } : {}),
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(input.concurrency, input.copies) }, sender));
  return results;
}
