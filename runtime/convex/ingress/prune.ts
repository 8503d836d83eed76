/** Deletes what is known of updates that Telegram can no longer redeliver, and pairing codes that ended long ago. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";

const BATCH = 500;
/** How long an ended pairing code still explains itself ("already used"). */
const PAIRING_KEPT_MS = 30 * 24 * 60 * 60_000;

/** One bounded batch; goes on by itself while there are more. */
export const pruneIngress = internalMutation({
  args: {},
  returns: v.object({ deleted: v.number() }),
  handler: async (ctx) => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { deleted: 0 };
    const now = Date.now();
    const updates = await ctx.db
      .query("telegramUpdates")
      .withIndex("by_received_at", (q) => q.lt("receivedAt", now - active.config.retention.updateIdMs))
      .take(BATCH);
    for (const update of updates) await ctx.db.delete("telegramUpdates", update._id);
    const failures = await ctx.db
      .query("telegramFailures")
      .withIndex("by_first_at", (q) => q.lt("firstAt", now - active.config.retention.updateIdMs))
      .take(BATCH);
    for (const failure of failures) await ctx.db.delete("telegramFailures", failure._id);
    const albums = await ctx.db
      .query("telegramAlbums")
      .withIndex("by_opened_at", (q) => q.lt("openedAt", now - active.config.retention.updateIdMs))
      .take(BATCH);
    for (const album of albums) await ctx.db.delete("telegramAlbums", album._id);
    const codes = await ctx.db
      .query("pairingCodes")
      .withIndex("by_expires_at", (q) => q.lt("expiresAt", now - PAIRING_KEPT_MS))
      .take(BATCH);
    for (const code of codes) await ctx.db.delete("pairingCodes", code._id);
    const attempts = await ctx.db
      .query("pairingAttempts")
      .withIndex("by_window", (q) => q.lt("windowStartedAt", now - PAIRING_KEPT_MS))
      .take(BATCH);
    for (const attempt of attempts) await ctx.db.delete("pairingAttempts", attempt._id);
    const batches = [updates, failures, albums, codes, attempts];
    const full = batches.some((rows) => rows.length === BATCH);
    if (full) await ctx.scheduler.runAfter(0, internal.ingress.prune.pruneIngress, {});
    return { deleted: batches.reduce((sum, rows) => sum + rows.length, 0) };
  },
});
