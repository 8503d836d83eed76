/** Machines of ours that no live row stands for. Another owner's machines are never even recorded. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { appOf } from "../machines/apps.ts";
import { cellOf, isOver, readMachineState } from "../policy/machineStates.ts";
import type { ObservedMachine } from "../machines/provider.ts";
import type { Listing } from "./shapes.ts";

const ORPHANS_READ_MAX = 1_000;
/** Repeats of a destroy that was accepted but not obeyed, ms. */
const DESTROY_AGAIN_MS = 30_000;

/** When an orphan is destroyed, or destroyed again. */
function dueAt(row: { firstSeenAt: number; destroyAskedAt?: number | undefined }, graceMs: number): number {
  return row.destroyAskedAt === undefined ? row.firstSeenAt + graceMs : row.destroyAskedAt + DESTROY_AGAIN_MS;
}

/** What is known of orphans between two listings. */
export async function knownOrphans(ctx: QueryCtx, graceMs: number): Promise<OrphanReport> {
  const rows = await ctx.db.query("orphanMachines").take(ORPHANS_READ_MAX);
  const times = rows.map((row) => dueAt(row, graceMs));
  return { present: rows.length, destroy: [], checkAt: times.length === 0 ? null : Math.min(...times) };
}

/** A machine with the app in whose listing it was seen. */
export type ListedMachine = ObservedMachine & { appName: string };

export interface OrphanReport {
  /** Orphans that still count under the ceiling. */
  present: number;
  /** Those whose grace is over. */
  destroy: Array<{ appName: string; machineId: string }>;
  checkAt: number | null;
}

/** Matches listings with the live rows: by name, and by machine id where one is known. */
export function matchMachines(
  rows: ReadonlyArray<Doc<"workers">>,
  listings: readonly Listing[],
  owner: string,
): { byWorker: Map<string, ObservedMachine>; unmatched: ListedMachine[]; foreign: number } {
  const rowsByName = new Map(rows.map((row) => [row.workerId, row]));
  const byWorker = new Map<string, ObservedMachine>();
  const unmatched: ListedMachine[] = [];
  let foreign = 0;
  const listed = listings.flatMap(({ appName, machines }) =>
    machines.map((machine) => ({ ...machine, appName })),
  );
  for (const machine of listed) {
    if (machine.owner !== owner) {
      foreign += 1;
      continue;
    }
    const row = rowsByName.get(machine.workerId ?? machine.name);
    const same = row !== undefined && (row.machineId === undefined || row.machineId === machine.machineId);
    // Two machines of one name cannot live at once: the one that is over is the former.
    if (
      same &&
      (!byWorker.has(row.workerId) || isOver(readMachineState(byWorker.get(row.workerId)?.state ?? "")))
    ) {
      byWorker.set(row.workerId, machine);
    } else if (!same || !isOver(readMachineState(machine.state))) {
      unmatched.push(machine);
    }
  }
  return { byWorker, unmatched, foreign };
}

/**
 * Records what listings show of orphans and says which are due to be destroyed. Nothing is concluded about an app that
 * was not listed.
 */
export async function noteOrphans(
  ctx: MutationCtx,
  unmatched: readonly ListedMachine[],
  apps: { listed: readonly string[]; inForce: string },
  graceMs: number,
): Promise<OrphanReport> {
  const now = Date.now();
  const known = new Map(
    (await ctx.db.query("orphanMachines").take(ORPHANS_READ_MAX)).map((row) => [row.machineId, row]),
  );
  const destroy: OrphanReport["destroy"] = [];
  let present = 0;
  let checkAt: number | null = null;
  for (const machine of unmatched) {
    if (cellOf("stopped", readMachineState(machine.state)) !== "orphan") {
      // On its way out: it counts until it is gone.
      if (!isOver(readMachineState(machine.state))) present += 1;
      continue;
    }
    present += 1;
    const row = known.get(machine.machineId);
    known.delete(machine.machineId);
    if (row === undefined) {
      const { machineId, appName, name, state, region } = machine;
      await ctx.db.insert("orphanMachines", { machineId, appName, name, state, region, firstSeenAt: now });
    }
    const due = dueAt(row ?? { firstSeenAt: now }, graceMs);
    if (now >= due) destroy.push({ appName: machine.appName, machineId: machine.machineId });
    else checkAt = checkAt === null ? due : Math.min(checkAt, due);
  }
  for (const row of known.values()) {
    const app = appOf(row, apps.inForce);
    const leftBehind = app !== apps.inForce && row.destroyAskedAt !== undefined;
    if (leftBehind || apps.listed.includes(app)) await ctx.db.delete("orphanMachines", row._id);
    else present += 1;
  }
  return { present, destroy, checkAt };
}
