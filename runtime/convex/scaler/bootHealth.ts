/** Counts boots that failed in a row, for the rules of policy/bootHealth.ts and for the operator. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { bootsFail } from "../policy/bootHealth.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import { activeRollout } from "./rolloutStart.ts";
import { readScalerState } from "./state.ts";
import { clipText } from "../policy/clipText.ts";

const ALERT = "boot";
const REASON_MAX = 300;

/** A worker ended before it was ready. While a rollout's gate is open, its own workers are the gate's to judge. */
export async function noteBootFailure(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  reason: string,
): Promise<void> {
  const rollout = await activeRollout(ctx);
  const gated = rollout !== null && rollout.phase !== "replacing" && rollout.specHash === worker.specHash;
  const state = await readScalerState(ctx);
  if (gated || state === null) return;
  const bootHealth = {
    failures: (state.bootHealth?.failures ?? 0) + 1,
    lastFailureAt: Date.now(),
    reason: clipText(reason, REASON_MAX),
  };
  await ctx.db.patch("scalerState", state._id, { bootHealth });
  if (bootsFail(bootHealth)) {
    await raiseAlert(
      ctx,
      ALERT,
      `No worker comes up: ${bootHealth.failures} in a row ended before they were ready. ${worker.workerId}${worker.machineId === undefined ? "" : ` (machine ${worker.machineId})`}: ${reason}`,
    );
  }
}

/** A worker is ready, or something changed that may have mended what kept workers from it. */
export async function forgetBootFailures(ctx: MutationCtx): Promise<void> {
  const state = await readScalerState(ctx);
  if (state?.bootHealth === undefined) return;
  await ctx.db.patch("scalerState", state._id, { bootHealth: undefined });
  await clearAlerts(ctx, [ALERT]);
}
