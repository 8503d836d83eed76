/** Switching an agent off and on, without its texts at hand. */
import { v } from "convex/values";
import { internalMutation } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { findAgent } from "../identity/findAgent.ts";

/** `factory:setAgentEnabled`. A disabled agent takes no new messages; what waits is still answered. */
export const setAgentEnabled = internalMutation({
  args: { agentKey: v.string(), enabled: v.boolean(), actor: v.optional(v.string()) },
  returns: v.object({ changed: v.boolean() }),
  handler: async (ctx, { agentKey, enabled, actor }): Promise<{ changed: boolean }> => {
    const agent = await findAgent(ctx, agentKey);
    if (agent === null) throw new FactoryError("not_found", `Agent profile '${agentKey}' not found`);
    if (agent.enabled === enabled) return { changed: false };
    await ctx.db.patch("agentProfiles", agent._id, {
      enabled,
      revision: agent.revision + 1,
      updatedAt: Date.now(),
    });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: enabled ? "agent.enable" : "agent.disable",
      target: agentKey,
      outcome: "ok",
    });
    return { changed: true };
  },
});
