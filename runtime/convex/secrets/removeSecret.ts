/** Removing a secret: what the stack does when it is destroyed, and an operator after a leak. */
import { v } from "convex/values";
import { internalMutation } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";

/** Versions of one ref that one call removes; a ref with more is finished by calling again. */
const VERSIONS_MAX = 200;

/**
 * `factory:removeSecret`: no version of the ref can be read afterwards. The newest row stays, emptied, so that
 * its version number is never used twice. `more` says that versions are left; call again.
 */
export const removeSecret = internalMutation({
  args: { secretRef: v.string(), actor: v.optional(v.string()) },
  returns: v.object({ removed: v.number(), more: v.boolean() }),
  handler: async (ctx, { secretRef, actor }) => {
    const rows = await ctx.db
      .query("secrets")
      .withIndex("by_ref_version", (q) => q.eq("secretRef", secretRef))
      .order("desc")
      .take(VERSIONS_MAX + 1);
    const [newest, ...older] = rows.slice(0, VERSIONS_MAX);
    if (newest === undefined) return { removed: 0, more: false };
    const readable = rows.filter((row) => row.wrappedKey !== "").length;
    await ctx.db.patch("secrets", newest._id, { active: false, wrappedKey: "", ciphertext: "" });
    for (const row of older) await ctx.db.delete("secrets", row._id);
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "secret.remove",
      target: secretRef,
      outcome: "ok",
      detail: `${readable} version(s)`,
    });
    return { removed: readable, more: rows.length > VERSIONS_MAX };
  },
});
