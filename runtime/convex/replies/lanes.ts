/**
 * Lanes: the single-flight guard of deliveries. A lane is a conversation (or its control lane, so that the answer to
 * `/status` does not wait behind a long reply). One run at a time sends a lane's parts in order.
 *
 * A run is an action, and an action may die at any point or never start. Its watchdog, a mutation and so certain to
 * happen, takes the lane back after `busyUntil`.
 */
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";

/** How long a run may take to announce its first part before it is believed dead. */
const START_GRACE_MS = 30_000;
/** A timer this late is lost: the scheduler is seldom behind by more than seconds (sweep.ts). */
export const TIMER_LATE_MS = 60_000;

export function controlLane(conversationId: string): string {
  return `${conversationId}#control`;
}

/** The lane's row, created on first use. */
export async function ensureLane(ctx: MutationCtx, lane: string): Promise<Doc<"outboxLanes">> {
  const existing = await ctx.db
    .query("outboxLanes")
    .withIndex("by_lane", (q) => q.eq("lane", lane))
    .unique();
  if (existing) return existing;
  const id = await ctx.db.insert("outboxLanes", { lane, nextSeq: 0, run: 0 });
  const created = await ctx.db.get("outboxLanes", id);
  if (created === null) throw new Error("a lane that was just created is missing");
  return created;
}

/** Starts a run unless one is under way or the lane waits for a later time. A run whose watchdog is lost is looked after. */
export async function kickLane(ctx: MutationCtx, lane: Doc<"outboxLanes">, now: number): Promise<void> {
  if (lane.busyUntil !== undefined) {
    if (lane.busyUntil >= now - TIMER_LATE_MS) return;
    const { _id: laneId, run } = lane;
    await ctx.scheduler.runAfter(0, internal.replies.delivery.watchLane, { laneId, run });
    return;
  }
  if (lane.wakeAt !== undefined && lane.wakeAt > now) return;
  await startRun(ctx, lane, now);
}

/** Starts a run whatever the lane's state: older runs lose their right to change it. */
export async function startRun(ctx: MutationCtx, lane: Doc<"outboxLanes">, now: number): Promise<void> {
  await ctx.db.patch("outboxLanes", lane._id, { run: lane.run + 1, wakeAt: undefined });
  await scheduleRun(ctx, lane, lane.run + 1, now);
}

/**
 * Schedules the action of a run that shows no sign of life. The run stays the same: should the first action only be
 * late, whichever comes first does the work, and the other finds nothing to do.
 */
export async function scheduleRun(
  ctx: MutationCtx,
  lane: Doc<"outboxLanes">,
  run: number,
  now: number,
): Promise<void> {
  await ctx.db.patch("outboxLanes", lane._id, { busyUntil: now + START_GRACE_MS });
  await ctx.scheduler.runAfter(0, internal.replies.send.deliverLane, { laneId: lane._id, run });
  await ctx.scheduler.runAt(now + START_GRACE_MS, internal.replies.delivery.watchLane, {
    laneId: lane._id,
    run,
  });
}

/** Ends a run: idle, or waiting until `wakeAt`. */
export async function endRun(
  ctx: MutationCtx,
  lane: Doc<"outboxLanes">,
  wakeAt: number | null,
): Promise<void> {
  await ctx.db.patch("outboxLanes", lane._id, { busyUntil: undefined, wakeAt: wakeAt ?? undefined });
  if (wakeAt !== null) {
    await ctx.scheduler.runAt(wakeAt, internal.replies.delivery.wakeLane, {
      laneId: lane._id,
      run: lane.run,
    });
  }
}
