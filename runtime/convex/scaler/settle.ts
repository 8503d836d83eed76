/** What became of the workers that we know of: the first part of a plan, before the fleet as a whole. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { ActiveConfig } from "../config/read.ts";
import { appOf } from "../machines/apps.ts";
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
 * @param seen machines by worker id, and the apps whose listings these are: about a worker of any other app this pass
 * knows nothing new.
 */
export async function settleWorkers(
  ctx: MutationCtx,
  rows: ReadonlyArray<Doc<"workers">>,
  seen: { machines: ReadonlyMap<string, ObservedMachine>; apps: readonly string[] },
  active: ActiveConfig,
  silenceCountsFrom: number,
): Promise<{ ops: PlannedOp[]; events: string[]; checkAt: number | null }> {
  const limits = lifecycleLimits(active.config, silenceCountsFrom);
  const now = Date.now();
  const ops: PlannedOp[] = [];
  const events: string[] = [];
  let checkAt: number | null = null;
  for (const row of rows) {
    const machine = seen.machines.get(row.workerId) ?? null;
    const looked = seen.apps.includes(appOf(row, active.config.provider.appName));
    const listed: MachineState | null =
      machine !== null ? readMachineState(machine.state) : looked ? "missing" : null;
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
