/** Reading the audit log, newest first. */
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { internalQuery } from "../_generated/server.js";

const PAGE_MAX = 200;

const vAuditRow = v.object({
  at: v.number(),
  actor: v.string(),
  action: v.string(),
  target: v.string(),
  outcome: v.union(v.literal("ok"), v.literal("refused"), v.literal("failed")),
  detail: v.optional(v.string()),
});

export const listAudit = internalQuery({
  args: { action: v.optional(v.string()), paginationOpts: v.optional(paginationOptsValidator) },
  returns: v.object({ rows: v.array(vAuditRow), cursor: v.union(v.string(), v.null()) }),
  handler: async (ctx, { action, paginationOpts }) => {
    const opts = paginationOpts ?? { numItems: PAGE_MAX, cursor: null };
    const rows =
      action === undefined
        ? ctx.db.query("auditLog").withIndex("by_at")
        : ctx.db.query("auditLog").withIndex("by_action", (q) => q.eq("action", action));
    const page = await rows.order("desc").paginate({ ...opts, numItems: Math.min(PAGE_MAX, opts.numItems) });
    return {
      rows: page.page.map(({ _id, _creationTime, ...row }) => row),
      cursor: page.isDone ? null : page.continueCursor,
    };
  },
});
