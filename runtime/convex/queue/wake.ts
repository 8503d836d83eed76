/**
 * Wake-ups: exactly one worker is told about a message, and somebody looks after it until it is claimed.
 *
 * A worker claims by itself after each turn, so a message that finds no free slot needs no wake-up: whoever
 * frees a slot takes it, and a new worker is woken when it is ready (machines/ready.ts).
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { anyWorkerServes, chooseWorker, lacksTurns, wokenEnough } from "../policy/wake.ts";
import { kickScaler } from "../scaler/kick.ts";
import { findHead } from "./heads.ts";
import type { OpenConversation } from "./openConversation.ts";

/**
 * Free workers looked at per wake-up, the most recently heard first; each costs every enqueue a document. More of
 * them where some may not serve the conversation, or those who may could stand behind those who may not.
 */
const CANDIDATES = { any: 2, restricted: 8 } as const;
/** Canaries looked at per wake-up, while there are any. */
const CANARIES_MAX = 4;
/** Wake-ups for one message before it is left to whoever claims next; the sweep is behind that. */
const WAKES_MAX = 5;

type Target = Pick<OpenConversation, "id" | "conversationId" | "agentKey"> & {
  lastWorkerId: string | undefined;
};

/** Tells one worker about a head that has just become ready, and makes sure that it is looked after. */
export async function wakeForHead(
  ctx: MutationCtx,
  open: OpenConversation,
  message: Id<"messageQueue">,
  config: RuntimeConfig,
): Promise<void> {
  await wakeOne(ctx, { ...open, lastWorkerId: open.row.lastWorkerId }, message, [], config, open.now);
}

async function findWorker(ctx: MutationCtx, workerId: string): Promise<Doc<"workers"> | null> {
  return await ctx.db
    .query("workers")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .first();
}

/** A canary that lacks turns and can take the conversation. Costs no document while no rollout is under way. */
async function canaryInNeed(
  ctx: MutationCtx,
  target: Target,
  tried: readonly string[],
  config: RuntimeConfig,
  now: number,
): Promise<Doc<"workers"> | null> {
  const canaries = await ctx.db
    .query("workers")
    .withIndex("by_canary", (q) => q.eq("canary", true).eq("hasFreeSlot", true))
    .take(CANARIES_MAX);
  const needy = canaries.filter((worker) => lacksTurns(worker, config));
  return chooseWorker(null, needy, target, tried, config, now);
}

/** Free workers, the most recently heard first. The range leaves out every silent one, however many dead rows there are. */
async function freeWorkers(
  ctx: MutationCtx,
  count: number,
  config: RuntimeConfig,
  now: number,
): Promise<Array<Doc<"workers">>> {
  return await ctx.db
    .query("workers")
    .withIndex("by_free_slot", (q) =>
      q.eq("hasFreeSlot", true).gte("lastHeartbeatAt", now - config.scaling.workerLostAfterMs),
    )
    .order("desc")
    .take(count);
}

/**
 * A message that has failed keeps away from canaries while anybody else has room: a bad image must not use up all
 * the attempts of the few people whom it meets.
 */
async function isSpared(ctx: MutationCtx, message: Id<"messageQueue">): Promise<boolean> {
  return ((await ctx.db.get("messageQueue", message))?.attempts ?? 0) > 0;
}

async function choose(
  ctx: MutationCtx,
  target: Target,
  message: Id<"messageQueue">,
  tried: readonly string[],
  config: RuntimeConfig,
  now: number,
): Promise<Doc<"workers"> | null> {
  const canary = await canaryInNeed(ctx, target, tried, config, now);
  const holder = target.lastWorkerId === undefined ? null : await findWorker(ctx, target.lastWorkerId);
  const spared = (canary !== null || holder?.canary === true) && (await isSpared(ctx, message));
  if (canary !== null && !spared) return canary;
  const held = spared && holder?.canary === true ? null : holder;
  const chosen = chooseWorker(held, [], target, tried, config, now);
  if (chosen !== null) return chosen;
  const count = (anyWorkerServes(config) && !spared ? CANDIDATES.any : CANDIDATES.restricted) + tried.length;
  const free = await freeWorkers(ctx, count, config, now);
  const proven = spared ? free.filter((worker) => !worker.canary) : free;
  return (
    chooseWorker(null, proven, target, tried, config, now) ??
    chooseWorker(null, free, target, tried, config, now)
  );
}

async function wakeOne(
  ctx: MutationCtx,
  target: Target,
  message: Id<"messageQueue">,
  tried: string[],
  config: RuntimeConfig,
  now: number,
  insist = false,
): Promise<void> {
  const chosen = await choose(ctx, target, message, tried, config, now);
  if (chosen === null) return;
  await wakeWorker(ctx, chosen, insist);
  await ctx.scheduler.runAfter(config.queue.wakeGraceMs, internal.queue.wake.checkWake, {
    conversation: target.id,
    message,
    tried: [...tried, chosen.workerId],
  });
}

async function findSignals(ctx: MutationCtx, workerId: string): Promise<Doc<"workerSignals"> | null> {
  return await ctx.db
    .query("workerSignals")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .first();
}

/**
 * Raises the counter that the worker's subscription shows. Not needed when it is about to claim for every free slot;
 * whoever finds a message still waiting after a wake-up insists.
 */
async function wakeWorker(ctx: MutationCtx, worker: Doc<"workers">, insist: boolean): Promise<void> {
  const signals = await findSignals(ctx, worker.workerId);
  if (signals === null || (!insist && wokenEnough(signals.wake, worker))) return;
  await ctx.db.patch("workerSignals", signals._id, { wake: signals.wake + 1 });
}

/**
 * A worker that was given nothing asks no more until it is woken: every wake-up before is answered, whyever there was
 * nothing (no message, no room, a lease that ended while the reply was lost).
 */
export async function noteEmptyClaim(ctx: MutationCtx, worker: Doc<"workers">): Promise<void> {
  const signals = await findSignals(ctx, worker.workerId);
  if (signals === null || signals.wake === (worker.wakesAnswered ?? 0)) return;
  await ctx.db.patch("workers", worker._id, { wakesAnswered: signals.wake });
}

/**
 * Runs a grace time after a wake-up. Claimed meanwhile, or no longer at the head: nothing to do. Still there:
 * the woken worker is busy, dead or lost the news, so another one is woken and the scaler is told.
 */
export const checkWake = internalMutation({
  args: { conversation: v.id("conversations"), message: v.id("messageQueue"), tried: v.array(v.string()) },
  returns: v.null(),
  handler: async (ctx, { conversation, message, tried }): Promise<null> => {
    const head = await findHead(ctx, conversation);
    if (head === null || head.state !== "ready" || head.message !== message) return null;
    const active = await readRuntimeConfigOrNull(ctx);
    const row = await ctx.db.get("conversations", conversation);
    if (active === null || row === null) return null;
    if (tried.length < WAKES_MAX) {
      const target = { ...row, id: row._id, lastWorkerId: row.lastWorkerId };
      await wakeOne(ctx, target, message, tried, active.config, Date.now(), true);
    }
    await kickScaler(ctx, "a woken worker did not claim");
    return null;
  },
});
