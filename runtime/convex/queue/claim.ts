/** A worker asks for one message. Reads a bounded number of documents at any backlog. */
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { checkFence } from "../policy/lease.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { hasRoom } from "../policy/wake.ts";
import type { Claim } from "../validators.ts";
import { leaseHead, type Repair } from "./heads.ts";
import { mendHead } from "./mendHead.ts";
import { openConversation, saveConversation } from "./openConversation.ts";
import { claimScope, pickHead } from "./pickHead.ts";
import { recoverOneExpired } from "./recovery.ts";
import { promoteHead } from "./promote.ts";
import { noteEmptyClaim } from "./wake.ts";

const CLAIM_KEY_MAX_CHARS = 128;
/** Heads that one claim mends on its way to one that it can lease. */
const MENDED_PER_CLAIM = 4;

/**
 * Leases the next message to this worker, or returns null when nothing is due for it.
 *
 * Repeating a call with the same claimKey returns the same lease while it lives, and null afterwards: a lost
 * reply neither loses a lease nor takes a second one. Every claim needs a fresh key.
 */
export async function claimMessage(
  ctx: MutationCtx,
  caller: Doc<"workers">,
  args: { claimKey: string; agentKeys?: string[] | undefined },
): Promise<Claim | null> {
  const claimed = await findAndLease(ctx, caller, args);
  if (claimed === null) await noteEmptyClaim(ctx, caller);
  return claimed;
}

async function findAndLease(
  ctx: MutationCtx,
  caller: Doc<"workers">,
  args: { claimKey: string; agentKeys?: string[] | undefined },
): Promise<Claim | null> {
  const { claimKey } = args;
  if (claimKey.trim() === "" || claimKey.length > CLAIM_KEY_MAX_CHARS) {
    throw new FactoryError("invalid_argument", `claimKey must have 1 to ${CLAIM_KEY_MAX_CHARS} characters`);
  }
  const { config } = await readRuntimeConfig(ctx);
  const now = Date.now();
  const repeated = await ctx.db
    .query("messageQueue")
    .withIndex("by_worker_claim", (q) => q.eq("workerId", caller.workerId).eq("claimKey", claimKey))
    .first();
  if (repeated !== null) {
    const leaseId = repeated.leaseId ?? "";
    const { holds } = checkFence(repeated, { leaseId, workerId: caller.workerId }, now);
    return holds ? claimOf(repeated, config) : null;
  }
  if (!hasRoom(caller, caller.load, config.turn.dedication)) return null;

  const scope = claimScope(caller, config, args.agentKeys);
  let repair = await promoteOneOverdue(ctx, config, now);
  let head = await pickHead(ctx, scope, caller.workerId, config, now);
  if (head === null && repair === null) {
    // One repair per claim keeps what it reads bounded; the timers do the rest.
    repair = await recoverOneExpired(ctx, config, now, caller);
    if (repair !== null) head = await pickHead(ctx, scope, caller.workerId, config, now);
  }
  if (repair?.change.becameReady && head?.conversation !== repair.conversation) {
    // It became ready but is not what this worker takes: whoever may serve it is woken.
    const { conversation, change } = repair;
    const check = { conversation, message: change.message, tried: [] };
    await ctx.scheduler.runAfter(0, internal.queue.wake.checkWake, check);
  }
  if (head === null) return null;
  // Read again when the recovered lease was this worker's own: its load has changed then.
  const worker = repair?.holder === caller.workerId ? await ctx.db.get("workers", caller._id) : caller;
  for (let tries = 0; head !== null && tries < MENDED_PER_CLAIM; tries += 1) {
    const claim = await lease(ctx, worker ?? caller, head, claimKey, config, now);
    if (claim !== null) return claim;
    head = await pickHead(ctx, scope, caller.workerId, config, now);
  }
  return null;
}

/** null for a head that pointed at nothing and has been mended. */
async function lease(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  head: Doc<"conversationHeads">,
  claimKey: string,
  config: RuntimeConfig,
  now: number,
): Promise<Claim | null> {
  const { workerId } = worker;
  const message = await ctx.db.get("messageQueue", head.message);
  const conversation = await ctx.db.get("conversations", head.conversation);
  if (message === null || conversation === null) {
    await mendHead(ctx, head, message, now);
    return null;
  }
  if (message.status !== "queued") {
    // The head mirrors a queued message by construction (queue/heads.ts is its one writer).
    throw new Error(`conversation head ${head._id} does not point at a queued message`);
  }
  const leaseId = newLeaseId();
  const leaseExpiresAt = now + config.lease.leaseMs;
  const leased = {
    status: "processing" as const,
    attempts: message.attempts + 1,
    leaseId,
    leaseExpiresAt,
    workerId,
    claimKey,
    claimedAt: now,
  };
  await ctx.db.patch("messageQueue", message._id, leased);

  const open = openConversation(conversation, now);
  open.row.lastWorkerId = workerId;
  open.row.queuedCount = Math.max(0, open.row.queuedCount - 1);
  open.tally.queued -= 1;
  open.tally.processing += 1;
  await leaseHead(ctx, open, head, { workerId, leaseExpiresAt });
  await saveConversation(ctx, open);

  const load = worker.load + 1;
  const { dedication } = config.turn;
  await ctx.db.patch("workers", worker._id, {
    load,
    hasFreeSlot: hasRoom(worker, load, dedication),
    lastClaimAt: now,
    wakesAnswered: (worker.wakesAnswered ?? 0) + 1,
    lastHeartbeatAt: now,
    scheduledShutdownAt: undefined,
    ...(dedication === "none"
      ? {}
      : { dedicatedTo: dedication === "agent" ? message.agentKey : message.conversationId }),
  });
  // One check per claim, at the moment the lease would run out; it re-arms itself while heartbeats renew it.
  await ctx.scheduler.runAt(leaseExpiresAt, internal.queue.recovery.checkLease, {
    messageId: message._id,
    leaseId,
  });
  return claimOf({ ...message, ...leased }, config);
}

function claimOf(message: Doc<"messageQueue">, config: RuntimeConfig): Claim {
  if (message.leaseId === undefined || message.leaseExpiresAt === undefined) {
    throw new Error(`message ${message._id} is processing without a lease`);
  }
  return {
    messageId: message._id,
    conversationId: message.conversationId,
    agentKey: message.agentKey,
    leaseId: message.leaseId,
    leaseExpiresAt: message.leaseExpiresAt,
    leaseMs: config.lease.leaseMs,
    heartbeatIntervalMs: config.lease.heartbeatIntervalMs,
    turnTimeoutMs: config.turn.turnTimeoutMs,
    dedication: config.turn.dedication,
    attempt: message.attempts,
    maxAttempts: message.maxAttempts,
    payload: message.payload,
  };
}

/** Unguessable enough: a lease is only usable together with its worker's credential. */
function newLeaseId(): string {
  const part = () =>
    Math.floor(Math.random() * 2 ** 48)
      .toString(36)
      .padStart(10, "0");
  return part() + part();
}

/** The scheduler promotes delayed messages; one overdue per claim covers for a scheduler that is late. */
async function promoteOneOverdue(
  ctx: MutationCtx,
  config: RuntimeConfig,
  now: number,
): Promise<Repair | null> {
  const overdue = await ctx.db
    .query("conversationHeads")
    .withIndex("by_due", (q) => q.eq("state", "delayed").lte("dueAt", now))
    .first();
  if (overdue === null) return null;
  return { conversation: overdue.conversation, change: await promoteHead(ctx, overdue, config, now, false) };
}
