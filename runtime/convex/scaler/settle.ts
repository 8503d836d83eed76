/** What became of the workers that we know of: the first part of a plan, before the fleet as a whole. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { ActiveConfig } from "../config/read.ts";
import { lifecycleLimits, workerFacts } from "../machines/facts.ts";
import type { ObservedMachine } from "../machines/provider.ts";
import { earlier } from "../policy/earlier.ts";
import { nextWorkerStep } from "../policy/lifecycle.ts";
import { type MachineState, readMachineState } from "../policy/machineStates.ts";
import { applyStep } from "./apply.ts";
import type { PlannedOp } from "./shapes.ts";

/**
 * Takes every row one step on.
 *
 * @param machines by worker id, as just listed; null when this pass did not list.
 */
export async function settleWorkers(
  ctx: MutationCtx,
  rows: ReadonlyArray<Doc<"workers">>,
  machines: Map<string, ObservedMachine> | null,
  active: ActiveConfig,
  silenceCountsFrom: number,
): Promise<{ ops: PlannedOp[]; events: string[]; checkAt: number | null }> {
  const limits = lifecycleLimits(active.config, silenceCountsFrom);
  const now = Date.now();
  const ops: PlannedOp[] = [];
  const events: string[] = [];
  let checkAt: number | null = null;
  for (const row of rows) {
    const machine = machines?.get(row.workerId) ?? null;
    const listed: MachineState | null =
      machines === null ? null : machine === null ? "missing" : readMachineState(machine.state);
    const next = nextWorkerStep(workerFacts(row, listed), limits, now);
    // A row that has a volume closes by way of a look at its machine, which takes the volume along.
    const viaVerify = next.do === "close" && row.volumeId !== undefined && row.machineId !== undefined;
    const step = viaVerify ? { do: "verify" as const } : next;
    const applied = await applyStep(ctx, row, step, machine, active.config);
    if (applied.event !== null) events.push(applied.event);
    if (applied.op !== null) ops.push({ target: "worker", workerId: row.workerId, kind: applied.op });
    checkAt = earlier(checkAt, applied.checkAt);
    if (machine === null) continue;
    // What a listing shows settles the question that an unanswered call had left open.
    const fresh = await ctx.db.get("workers", row._id);
    if (fresh === null || fresh.state === "stopped") continue;
    await ctx.db.patch("workers", row._id, {
      machineState: machine.state,
      machineStateAt: now,
      ...(applied.op === null ? { op: undefined } : {}),
    });
  }
  return { ops, events, checkAt };
}
