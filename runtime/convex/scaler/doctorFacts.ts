/** What the database knows of an environment's health: the facts that doctor judges. */
import { type Infer, v } from "convex/values";
import { internalQuery, type QueryCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { readAppToken } from "../machines/apps.ts";
import { liveWorkers } from "../machines/rows.ts";
import { secretKindProblem } from "../policy/secretKind.ts";
import { findActive, readSecret } from "../secrets/read.ts";
import { readDemand } from "./demand.ts";
import { convexCloudUrl, convexSiteUrl, environmentPresence } from "./environment.ts";
import { activeRollout } from "./rolloutStart.ts";
import { readScalerState } from "./state.ts";
import { readTimer } from "./timer.ts";

const ALERTS_MAX = 50;
const BOTS_MAX = 20;
/** Agents and secrets looked at: a bound, far above what people configure. */
const AGENTS_MAX = 200;
const SECRETS_MAX = 200;
const MANDATORY_SECRETS = ["fly.apiToken", "convex.url"];

const vFacts = v.object({
  configured: v.boolean(),
  /** The stack is being destroyed: nothing is started. */
  retired: v.boolean(),
  environment: v.record(v.string(), v.boolean()),
  secrets: v.array(
    v.object({
      secretRef: v.string(),
      active: v.boolean(),
      problem: v.union(v.string(), v.null()),
      expiresAt: v.union(v.number(), v.null()),
    }),
  ),
  alerts: v.array(v.object({ kind: v.string(), message: v.string(), since: v.number() })),
  rollout: v.union(
    v.null(),
    v.object({
      phase: v.string(),
      revision: v.number(),
      startedAt: v.number(),
      phaseAt: v.number(),
      gateTimeoutMs: v.number(),
    }),
  ),
  loop: v.object({
    nextTickAt: v.union(v.number(), v.null()),
    passSilentMs: v.union(v.number(), v.null()),
    pending: v.boolean(),
  }),
  oldestDueMs: v.union(v.number(), v.null()),
  deadLetters: v.number(),
  bootingTooLong: v.array(v.object({ workerId: v.string(), machineId: v.union(v.string(), v.null()) })),
  bots: v.array(v.string()),
  // The zod schema in policy/runtimeConfig.ts describes it.
  provider: v.any(),
  token: v.union(v.string(), v.null()),
});
export type Facts = Infer<typeof vFacts>;

/** `expiresAt` of the secret's metadata, as the stack writes it: an ISO time. */
function expiryOf(metadata: Record<string, string> | undefined): number | null {
  const at = Date.parse(metadata?.expiresAt ?? "");
  return Number.isNaN(at) ? null : at;
}

/** The refs that the platform needs, and those that enabled agents name. */
async function wantedSecrets(ctx: QueryCtx): Promise<string[]> {
  const agents = await ctx.db.query("agentProfiles").take(AGENTS_MAX);
  const named = agents.filter((agent) => agent.enabled).flatMap((agent) => agent.secretsRef);
  return [...new Set([...MANDATORY_SECRETS, ...named])].slice(0, SECRETS_MAX);
}

/** Null also when it cannot be read, which the secret's own finding says. */
async function tokenOf(ctx: QueryCtx, appName: string): Promise<string | null> {
  try {
    return await readAppToken(ctx, appName);
  } catch {
    return null;
  }
}

/** Internal: it hands the token to the action, and to nothing else. */
export const read = internalQuery({
  args: {},
  returns: vFacts,
  handler: async (ctx): Promise<Facts> => {
    const now = Date.now();
    const active = await readRuntimeConfigOrNull(ctx);
    const state = await readScalerState(ctx);
    const timer = await readTimer(ctx);
    const rows = await liveWorkers(ctx);
    const rollout = await activeRollout(ctx);
    const secrets: Facts["secrets"] = [];
    for (const secretRef of await wantedSecrets(ctx)) {
      const row = await findActive(ctx, secretRef);
      let problem: string | null = null;
      try {
        const value = await readSecret(ctx, secretRef);
        const deployment = { cloudUrl: convexCloudUrl(), siteUrl: convexSiteUrl() };
        if (value !== null) problem = secretKindProblem(secretRef, value, deployment);
      } catch {
        problem = `The secret '${secretRef}' cannot be read with the deployment's keys.`;
      }
      secrets.push({ secretRef, active: row !== null, problem, expiresAt: expiryOf(row?.metadata) });
    }
    const oldest = await ctx.db
      .query("conversationHeads")
      .withIndex("by_due", (q) => q.eq("state", "ready"))
      .first();
    const demand =
      active === null ? { due: 0, running: 0 } : await readDemand(ctx, active.config.turn.dedication);
    const counters = await ctx.db.query("queueCounters").take(256);
    const bootTimeoutMs = active?.config.scaling.bootTimeoutMs ?? 0;
    const alerts = await ctx.db.query("scalerAlerts").take(ALERTS_MAX);
    const bots = await ctx.db.query("telegramBots").take(BOTS_MAX);
    return {
      configured: active !== null,
      retired: active?.retired === true,
      environment: environmentPresence(),
      secrets,
      alerts: alerts.map(({ kind, message, since }) => ({ kind, message, since })),
      rollout:
        rollout === null
          ? null
          : {
              phase: rollout.phase,
              revision: rollout.revision,
              startedAt: rollout.startedAt,
              phaseAt: rollout.phaseAt,
              gateTimeoutMs: active?.config.rollout.gateTimeoutMs ?? 0,
            },
      loop: {
        nextTickAt: timer?.nextTickAt ?? null,
        passSilentMs:
          state?.passStartedAt === undefined ? null : now - (state.passSignAt ?? state.passStartedAt),
        pending: demand.due > 0,
      },
      oldestDueMs: oldest === null ? null : Math.max(0, now - oldest.dueAt),
      deadLetters: counters.reduce((sum, shard) => sum + shard.deadLetter, 0),
      bootingTooLong: rows
        .filter(
          (row) => row.state === "creating" && now - (row.bootStartedAt ?? row.createdAt) > bootTimeoutMs,
        )
        .map((row) => ({ workerId: row.workerId, machineId: row.machineId ?? null })),
      bots: bots.map((bot) => bot.secretRef),
      provider: active?.config.provider ?? null,
      token: active === null ? null : await tokenOf(ctx, active.config.provider.appName),
    };
  },
});
