/** Who asks, and may they: one transaction before every API operation. */
import { type Infer, v } from "convex/values";
import { internalMutation } from "../_generated/server.js";
import { acceptedHashes, decideUse } from "../policy/serviceKey.ts";
import { constantTimeEqual } from "../secrets/digest.ts";
import { findKey } from "./keys.ts";
import { vApiScope } from "./tables.ts";

/** On whose behalf an operation runs. Everything it touches must be of this company, and of these agents when named. */
export const vPrincipal = v.object({
  keyId: v.string(),
  companyId: v.string(),
  agentKeys: v.union(v.array(v.string()), v.null()),
});
export type Principal = Infer<typeof vPrincipal>;

const vAuthorization = v.union(
  v.object({ kind: v.literal("allowed"), principal: vPrincipal }),
  v.object({ kind: v.literal("unauthorized") }),
  v.object({ kind: v.literal("forbidden"), scope: vApiScope }),
  v.object({ kind: v.literal("rate_limited"), retryAfterS: v.number() }),
);
export type Authorization = Infer<typeof vAuthorization>;

/** What an unknown key is compared with: no key hashes to it, and the work done is the same. */
const NO_KEY_HASH = "0".repeat(64);

export const authorize = internalMutation({
  args: { keyId: v.string(), keyHash: v.string(), scope: vApiScope },
  returns: vAuthorization,
  handler: async (ctx, { keyId, keyHash, scope }): Promise<Authorization> => {
    const now = Date.now();
    const key = await findKey(ctx, keyId);
    const accepted = key === null ? [] : acceptedHashes(key, now);
    let matches = false;
    for (const hash of accepted.length === 0 ? [NO_KEY_HASH] : accepted) {
      if (constantTimeEqual(keyHash, hash)) matches = true;
    }
    if (key === null || !matches) return { kind: "unauthorized" };
    if (!key.scopes.includes(scope)) return { kind: "forbidden", scope };

    const use = await ctx.db
      .query("serviceKeyBuckets")
      .withIndex("by_key_id", (q) => q.eq("keyId", keyId))
      .unique();
    const decision = decideUse(use, key.requestsPerMinute, now);
    if (!decision.allowed) return { kind: "rate_limited", retryAfterS: decision.retryAfterS };
    if (use === null) await ctx.db.insert("serviceKeyBuckets", { keyId, ...decision.use });
    else await ctx.db.patch("serviceKeyBuckets", use._id, decision.use);
    return {
      kind: "allowed",
      principal: { keyId, companyId: key.companyId, agentKeys: key.agentKeys ?? null },
    };
  },
});
