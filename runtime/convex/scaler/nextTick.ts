import type { Doc } from "../_generated/dataModel.js";
import type { ActiveConfig } from "../config/read.ts";
import { earlier } from "../policy/earlier.ts";
import type { Demand } from "../policy/scaling.ts";
import { nextWarmChange } from "../policy/warmPool.ts";
import type { RolloutView } from "./rolloutStep.ts";

/**
 * When the loop must look again by itself; null: nothing is pending.
 *
 * @param demand null: looking again sooner would not help it.
 * @param times what the parts of the plan ask for, ms.
 */
export function nextTick(
  rows: ReadonlyArray<Doc<"workers">>,
  demand: Demand | null,
  view: RolloutView,
  active: ActiveConfig,
  times: ReadonlyArray<number | null>,
): number | null {
  const { scaling } = active.config;
  const now = Date.now();
  let next = times.reduce<number | null>(earlier, null);
  next = earlier(next, nextWarmChange(scaling.warmPool, now));
  const moving = rows.some(
    (row) =>
      row.state === "creating" ||
      row.state === "draining" ||
      row.state === "stopping" ||
      row.op !== undefined,
  );
  const wanted = demand !== null && demand.due + demand.running > 0;
  const busy = wanted || rows.some((row) => row.load > 0);
  if (moving || busy || view.mode !== "steady") next = earlier(next, now + scaling.reconcileIntervalMs);
  return next;
}
