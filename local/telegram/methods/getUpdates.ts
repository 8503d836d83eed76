import { waitForChange } from "../core.ts";
import { conflict } from "../errors.ts";
import { updateLifeMs } from "../redelivery.ts";
import { expireBefore, pendingUpdates, settleAllButLast, settlePending } from "../updates.ts";
import { findWebhook, parseAllowedUpdates, saveAllowedUpdates } from "../webhooks.ts";
import type { Call } from "./call.ts";

const TIMEOUT_LIMIT_S = 50;
const COUNT_LIMIT = 100;

export async function getUpdates(call: Call): Promise<unknown[]> {
  const { core, bot, params, polling } = call;
  if (findWebhook(core, bot.id)) {
    throw conflict(
      "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    );
  }
  const allowed = parseAllowedUpdates(params);
  if (allowed) saveAllowedUpdates(core, bot.id, allowed);
  const offset = params.integer("offset") ?? 0;
  if (offset > 0) settlePending(core, bot.id, "delivered", offset - 1);
  if (offset < 0) settleAllButLast(core, bot.id, -offset);
  expireBefore(core, bot.id, core.now() - updateLifeMs(1));
  const limit = Math.min(Math.max(params.integer("limit") ?? COUNT_LIMIT, 1), COUNT_LIMIT);
  const timeoutS = Math.min(Math.max(params.integer("timeout") ?? 0, 0), TIMEOUT_LIMIT_S);

  polling.get(bot.id)?.abort();
  const mine = new AbortController();
  polling.set(bot.id, mine);
  try {
    const signal = AbortSignal.any([call.signal, mine.signal]);
    const found = await waitForChange(core, "update", timeoutS * 1000, signal, () => {
      const updates = pendingUpdates(core, bot.id, 0, limit);
      return updates.length > 0 ? updates : undefined;
    });
    if (mine.signal.aborted) {
      throw conflict(
        "terminated by other getUpdates request; make sure that only one bot instance is running",
      );
    }
    return (found ?? []).map((update) => JSON.parse(update.body) as unknown);
  } finally {
    if (polling.get(bot.id) === mine) polling.delete(bot.id);
  }
}
