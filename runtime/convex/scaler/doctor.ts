/** `factory:doctor`: what is wrong with this environment, and the command that mends each thing. */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalAction, internalQuery } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { createProvider } from "../machines/createProvider.ts";
import { imageState } from "../machines/fly/registry.ts";
import { ProviderError } from "../machines/providerError.ts";
import { liveWorkers } from "../machines/rows.ts";
import { diagnose, type DoctorFacts } from "../policy/diagnosis.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { findActive, readSecret } from "../secrets/read.ts";
import { readDemand } from "./demand.ts";
import { environmentPresence, factoryOwner } from "./environment.ts";
import { activeRollout } from "./rolloutStart.ts";
import { readScalerState } from "./state.ts";
import { readTimer } from "./timer.ts";

const ALERTS_MAX = 50;
const BOTS_MAX = 20;
const MANDATORY_SECRETS = ["fly.apiToken", "convex.url"];

const vFacts = v.object({
  configured: v.boolean(),
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
    v.object({ phase: v.string(), revision: v.number(), startedAt: v.number(), gateTimeoutMs: v.number() }),
  ),
  loop: v.object({
    nextTickAt: v.union(v.number(), v.null()),
    passSilentMs: v.union(v.number(), v.null()),
    pending: v.boolean(),
  }),
  oldestDueMs: v.union(v.number(), v.null()),
  deadLetters: v.number(),
  bootingTooLong: v.array(v.string()),
  bots: v.array(v.string()),
  // The zod schema in policy/runtimeConfig.ts describes it.
  provider: v.any(),
  token: v.union(v.string(), v.null()),
});
type Facts = Infer<typeof vFacts>;

/** `expiresAt` of the secret's metadata, as the stack writes it: an ISO time. */
function expiryOf(metadata: Record<string, string> | undefined): number | null {
  const at = Date.parse(metadata?.expiresAt ?? "");
  return Number.isNaN(at) ? null : at;
}

/** What the database knows. Internal: it hands the token to the action, and to nothing else. */
export const facts = internalQuery({
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
    let token: string | null = null;
    for (const secretRef of MANDATORY_SECRETS) {
      const row = await findActive(ctx, secretRef);
      let problem: string | null = null;
      try {
        const value = await readSecret(ctx, secretRef);
        if (secretRef === "fly.apiToken") token = value;
        if (
          secretRef === "convex.url" &&
          value !== null &&
          new URL(value).hostname.endsWith(".convex.cloud")
        ) {
          problem = "'convex.url' holds the .convex.cloud URL; the .convex.site URL is wanted there.";
        }
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
        .map((row) => row.workerId),
      bots: bots.map((bot) => bot.secretRef),
      provider: active?.config.provider ?? null,
      token,
    };
  },
});

/** Asks Fly whether the app, the token and the image can be used. Changes nothing. */
async function askFly(
  provider: RuntimeConfig["provider"],
  token: string,
): Promise<NonNullable<DoctorFacts["fly"]>> {
  const image = await imageState(provider.image, token, provider.registryUrl);
  try {
    const machines = createProvider(provider, token);
    await machines.verifyOwner(factoryOwner(), await machines.list());
    return { answers: true, error: null, clockSkewMs: await clockSkew(provider.apiUrl), image };
  } catch (error) {
    const known = error instanceof ProviderError || error instanceof Error;
    return { answers: false, error: known ? error.message : "unknown error", clockSkewMs: null, image };
  }
}

/** Our clock minus Fly's, ms, from the Date header; to a second, which is what the header tells. */
async function clockSkew(apiUrl: string): Promise<number | null> {
  try {
    const response = await fetch(apiUrl, { method: "HEAD", redirect: "manual" });
    const theirs = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(theirs) ? null : Date.now() - theirs;
  } catch {
    return null;
  }
}

const vProblem = v.object({
  kind: v.string(),
  severity: v.union(v.literal("error"), v.literal("warning")),
  message: v.string(),
  command: v.string(),
});

export const doctor = internalAction({
  args: {},
  returns: v.object({ ok: v.boolean(), problems: v.array(vProblem) }),
  handler: async (ctx): Promise<{ ok: boolean; problems: Array<Infer<typeof vProblem>> }> => {
    const { bots, provider, token, ...known }: Facts = await ctx.runQuery(internal.scaler.doctor.facts, {});
    const config = provider as RuntimeConfig["provider"] | null;
    const webhooks: DoctorFacts["webhooks"] = [];
    for (const secretRef of bots) {
      const status = await ctx.runAction(internal.ingress.webhook.telegramWebhookStatus, { secretRef });
      webhooks.push({ secretRef, drift: status.drift, lastErrorMessage: status.lastErrorMessage });
    }
    const fly = config === null || token === null ? null : await askFly(config, token);
    const problems = diagnose({ ...known, now: Date.now(), webhooks, fly, image: config?.image ?? null });
    return { ok: problems.every((problem) => problem.severity !== "error"), problems };
  },
});
