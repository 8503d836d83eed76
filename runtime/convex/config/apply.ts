/** The one writer of the runtime config. */
import { v } from "convex/values";
import { internalMutation, internalQuery, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../policy/runtimeConfig.ts";
import { onConfigApplied } from "../scaler/rolloutStart.ts";
import { type ActiveConfig, readConfigRow } from "./read.ts";
import { canonicalJson, changedFields } from "../policy/configDiff.ts";

type Revision = { config: RuntimeConfig; actor: string; reason?: string };

/**
 * Writes the next revision and its history row. Callers: the stack's apply below, and a rollout that takes its
 * own change back.
 */
export async function writeRuntimeConfig(
  ctx: MutationCtx,
  { config, actor, reason }: Revision,
  newOwner?: string,
): Promise<ActiveConfig> {
  const row = await readConfigRow(ctx);
  const owner = newOwner ?? row?.owner;
  if (owner === undefined) throw new FactoryError("not_configured", "Runtime config has no owner yet");
  const revision = (row?.revision ?? 0) + 1;
  const written = { revision, config, appliedBy: actor, appliedAt: Date.now() };
  if (row === null) await ctx.db.insert("runtimeConfig", { ...written, owner });
  else await ctx.db.replace("runtimeConfig", row._id, { ...written, owner });
  const changed = changedFields(row?.config as RuntimeConfig | undefined, config);
  await ctx.db.insert("runtimeConfigHistory", { ...written, changed });
  await recordAudit(ctx, {
    actor,
    action: "config.apply",
    target: `revision ${revision}`,
    outcome: "ok",
    detail: [`changed: ${changed.join(", ")}`, reason].filter(Boolean).join("; "),
  });
  return { revision, config };
}

/**
 * `factory:applyRuntimeConfig`, for the stack alone. Compare-and-set on the revision; applying what is in force
 * already changes nothing, so that a repeated call after a lost reply is harmless.
 */
export const applyRuntimeConfig = internalMutation({
  args: {
    // Parsed below: policy/runtimeConfig.ts is the one description of this value.
    config: v.any(),
    expectedRevision: v.union(v.number(), v.null()),
    /** Identity of the stack, `<project>/<stack>`. */
    owner: v.string(),
    actor: v.string(),
  },
  returns: v.object({ revision: v.number(), changed: v.boolean() }),
  handler: async (ctx, args): Promise<{ revision: number; changed: boolean }> => {
    const parsed = parseRuntimeConfig(args.config);
    if (!parsed.ok) {
      throw new FactoryError("invalid_argument", `Runtime config is invalid:\n${parsed.problems.join("\n")}`);
    }
    const row = await readConfigRow(ctx);
    // A retired config belongs to nobody: the stack that wrote it was destroyed.
    const retired = row?.retiredAt !== undefined;
    if (row !== null && row.owner !== args.owner && !retired) {
      throw new FactoryError(
        "forbidden",
        `This deployment belongs to stack '${row.owner}'; stack '${args.owner}' may not write its runtime config.`,
      );
    }
    if (row !== null && !retired && canonicalJson(row.config) === canonicalJson(parsed.config)) {
      return { revision: row.revision, changed: false };
    }
    const current = row?.revision ?? null;
    if (current !== args.expectedRevision) {
      throw new FactoryError(
        "conflict",
        `Runtime config is at revision ${current ?? "none"}, expected ${args.expectedRevision ?? "none"}. Run \`pulumi refresh\` and try again.`,
      );
    }
    // Of a retired config nothing is left to return to: its app went with its stack.
    const previous =
      row === null || retired ? null : { revision: row.revision, config: row.config as RuntimeConfig };
    const next = await writeRuntimeConfig(ctx, { config: parsed.config, actor: args.actor }, args.owner);
    await onConfigApplied(ctx, previous, next);
    return { revision: next.revision, changed: true };
  },
});

/** `factory:runtimeConfig`: the config in force, null before the first apply. */
export const runtimeConfig = internalQuery({
  args: {},
  returns: v.union(
    v.null(),
    v.object({
      revision: v.number(),
      config: v.any(),
      appliedBy: v.string(),
      appliedAt: v.number(),
      owner: v.string(),
      /** A destroy has begun: nothing is started under it any more. */
      retired: v.boolean(),
    }),
  ),
  handler: async (ctx) => {
    const row = await readConfigRow(ctx);
    if (row === null) return null;
    const { revision, config, appliedBy, appliedAt, owner } = row;
    const retired = row.retiredAt !== undefined;
    return { revision, config: config as RuntimeConfig, appliedBy, appliedAt, owner, retired };
  },
});

const HISTORY_PAGE_MAX = 100;

/** `factory:runtimeConfigHistory`: who changed what and when, newest first. */
export const runtimeConfigHistory = internalQuery({
  args: { limit: v.optional(v.number()) },
  returns: v.array(
    v.object({
      revision: v.number(),
      appliedBy: v.string(),
      appliedAt: v.number(),
      changed: v.array(v.string()),
    }),
  ),
  handler: async (ctx, { limit }) => {
    const rows = await ctx.db
      .query("runtimeConfigHistory")
      .withIndex("by_revision")
      .order("desc")
      .take(Math.min(HISTORY_PAGE_MAX, Math.max(1, limit ?? 20)));
    return rows.map(({ revision, appliedBy, appliedAt, changed }) => ({
      revision,
      appliedBy,
      appliedAt,
      changed,
    }));
  },
});
