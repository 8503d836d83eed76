/** The end of a stack: `pulumi destroy` winds the workers down before it destroys their app. */
import { v } from "convex/values";
import { internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readConfigRow } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { liveWorkers } from "../machines/rows.ts";
import { ensureTickBy } from "./timer.ts";

/**
 * `factory:retireRuntimeConfig`, for the stack alone: nothing new is started, idle workers end, busy ones finish
 * and end. Messages that arrive meanwhile wait. Repeating it changes nothing.
 *
 * @throws forbidden when the deployment belongs to another stack.
 */
export const retireRuntimeConfig = internalMutation({
  args: { owner: v.string(), actor: v.string() },
  returns: v.object({ retired: v.boolean() }),
  handler: async (ctx, { owner, actor }) => {
    const row = await readConfigRow(ctx);
    if (row === null) return { retired: false };
    if (row.owner !== owner) {
      throw new FactoryError(
        "forbidden",
        `This deployment belongs to stack '${row.owner}'; stack '${owner}' may not retire its runtime config.`,
      );
    }
    if (row.retiredAt === undefined) {
      await ctx.db.patch("runtimeConfig", row._id, { retiredAt: Date.now() });
      await recordAudit(ctx, {
        actor,
        action: "config.retire",
        target: `revision ${row.revision}`,
        outcome: "ok",
      });
    }
    await ensureTickBy(ctx, Date.now(), "the stack is being destroyed");
    return { retired: true };
  },
});

/** `factory:workersLeft`: rows that are not over yet, resting machines included. */
export const workersLeft = internalQuery({
  args: {},
  returns: v.object({ live: v.number() }),
  handler: async (ctx) => ({ live: (await liveWorkers(ctx)).length }),
});
