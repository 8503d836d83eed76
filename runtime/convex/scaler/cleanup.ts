/** Machines and volumes that nobody uses, and the report about them. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalAction, internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { readAppToken } from "../machines/apps.ts";
import { createProvider } from "../machines/createProvider.ts";
import { ProviderError } from "../machines/providerError.ts";
import type { MachineProvider, ObservedMachine, ObservedVolume } from "../machines/provider.ts";
import { liveWorkers } from "../machines/rows.ts";
import { cellOf, readMachineState } from "../policy/machineStates.ts";
import { volumeName } from "./calls.ts";
import { factoryOwner } from "./environment.ts";
import { readScalerState } from "./state.ts";
import { clipText } from "../policy/clipText.ts";

/** Things ended per run; the next night takes the rest. */
const ENDED_MAX = 100;

/** What the cleanup may know: the provider, its token and the names of live rows. Internal: never leaves. */
export const facts = internalQuery({
  args: {},
  returns: v.object({
    provider: v.any(),
    token: v.union(v.string(), v.null()),
    live: v.array(v.object({ workerId: v.string(), machineId: v.union(v.string(), v.null()) })),
    known: v.array(v.object({ machineId: v.string(), firstSeenAt: v.number() })),
    namePrefix: v.union(v.string(), v.null()),
    graceMs: v.number(),
  }),
  handler: async (ctx) => {
    const { config } = await readRuntimeConfig(ctx);
    const rows = await liveWorkers(ctx);
    const orphans = await ctx.db.query("orphanMachines").take(1_000);
    const state = await readScalerState(ctx);
    const newest = await ctx.db.query("workers").order("desc").first();
    // Every name of this database shares everything before its number.
    const namePrefix = state === null || newest === null ? null : newest.workerId.replace(/[^-]+$/, "");
    return {
      provider: config.provider,
      token: await readAppToken(ctx, config.provider.appName),
      live: rows.map((row) => ({ workerId: row.workerId, machineId: row.machineId ?? null })),
      known: orphans.map(({ machineId, firstSeenAt }) => ({ machineId, firstSeenAt })),
      namePrefix,
      graceMs: config.scaling.missingMachineGraceMs,
    };
  },
});

/** Writes down what the cleanup did. */
export const note = internalMutation({
  args: { actor: v.string(), detail: v.string(), failed: v.number() },
  returns: v.null(),
  handler: async (ctx, { actor, detail, failed }) => {
    const outcome = failed > 0 ? ("failed" as const) : ("ok" as const);
    await recordAudit(ctx, { actor, action: "fly.cleanup", target: "machines and volumes", outcome, detail });
    return null;
  },
});

const vReport = v.object({
  machinesListed: v.number(),
  volumesListed: v.number(),
  foreign: v.number(),
  destroyedMachines: v.array(v.string()),
  deletedVolumes: v.array(v.string()),
  /** Orphans whose grace is not over. */
  waiting: v.array(v.string()),
  failed: v.array(v.string()),
  dryRun: v.boolean(),
});

interface Report {
  machinesListed: number;
  volumesListed: number;
  foreign: number;
  destroyedMachines: string[];
  deletedVolumes: string[];
  waiting: string[];
  failed: string[];
  dryRun: boolean;
}

/** Volumes of ours that are attached to nothing and belong to no live worker. */
function unusedVolumes(
  volumes: readonly ObservedVolume[],
  live: ReadonlySet<string>,
  prefix: string | null,
): ObservedVolume[] {
  if (prefix === null) return [];
  const ours = volumeName(prefix);
  return volumes.filter(
    (volume) =>
      volume.name.startsWith(ours) &&
      volume.attachedMachineId === null &&
      volume.state === "created" &&
      !live.has(volume.name),
  );
}

async function attempt(
  report: Report,
  label: string,
  list: string[],
  act: () => Promise<void>,
): Promise<void> {
  try {
    if (!report.dryRun) await act();
    list.push(label);
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    report.failed.push(clipText(`${label}: ${error.message}`, 300));
  }
}

/**
 * `factory:runFlyCleanup`: ends orphans only. A machine is one when its metadata says that this deployment made
 * it, no live row stands for it, and the scaler has known that for longer than the grace.
 */
export const runFlyCleanup = internalAction({
  args: { dryRun: v.optional(v.boolean()), actor: v.optional(v.string()) },
  returns: vReport,
  handler: async (ctx, { dryRun, actor }): Promise<Report> => {
    const known = await ctx.runQuery(internal.scaler.cleanup.facts, {});
    if (known.token === null) {
      throw new FactoryError(
        "not_configured",
        "Missing Fly API token. Import an active 'fly.apiToken' secret or pass flyApiToken explicitly.",
      );
    }
    const provider: MachineProvider = createProvider(known.provider, known.token);
    const owner = factoryOwner();
    const machines = await provider.list();
    await provider.verifyOwner(owner, machines);
    const volumes = await provider.volumes.list();
    const report: Report = {
      machinesListed: machines.length,
      volumesListed: volumes.length,
      foreign: machines.filter((machine) => machine.owner !== owner).length,
      destroyedMachines: [],
      deletedVolumes: [],
      waiting: [],
      failed: [],
      dryRun: dryRun === true,
    };
    const liveNames = new Set(known.live.map((row) => row.workerId));
    const liveMachines = new Set(
      known.live.flatMap((row) => (row.machineId === null ? [] : [row.machineId])),
    );
    const firstSeen = new Map(known.known.map((row) => [row.machineId, row.firstSeenAt]));
    const isOrphan = (machine: ObservedMachine): boolean =>
      machine.owner === owner &&
      !liveMachines.has(machine.machineId) &&
      !liveNames.has(machine.name) &&
      cellOf("stopped", readMachineState(machine.state)) === "orphan";
    for (const machine of machines.filter(isOrphan).slice(0, ENDED_MAX)) {
      const seenAt = firstSeen.get(machine.machineId);
      // Never seen by a reconcile: it may be in the making. The reconcile below records it.
      if (seenAt === undefined || Date.now() - seenAt < known.graceMs) report.waiting.push(machine.name);
      else
        await attempt(report, machine.name, report.destroyedMachines, () =>
          provider.destroy(machine.machineId),
        );
    }
    const volumeNames = new Set([...liveNames].map(volumeName));
    for (const volume of unusedVolumes(volumes, volumeNames, known.namePrefix).slice(0, ENDED_MAX)) {
      await attempt(report, volume.volumeId, report.deletedVolumes, () =>
        provider.volumes.delete(volume.volumeId),
      );
    }
    const detail = `${report.destroyedMachines.length} machines destroyed, ${report.deletedVolumes.length} volumes deleted, ${report.waiting.length} waiting, ${report.failed.length} failed`;
    if (!report.dryRun) {
      await ctx.runMutation(internal.scaler.cleanup.note, {
        actor: actor ?? "operator",
        detail,
        failed: report.failed.length,
      });
      if (report.waiting.length > 0)
        await ctx.runMutation(internal.scaler.operators.startWorkers, { actor: "cleanup" });
    }
    return report;
  },
});

/** `factory:deleteFlyVolume`: one volume by id, never one that a machine holds. */
export const deleteFlyVolume = internalAction({
  args: { volumeId: v.string(), actor: v.optional(v.string()) },
  returns: v.object({ deleted: v.boolean(), reason: v.union(v.string(), v.null()) }),
  handler: async (ctx, { volumeId, actor }): Promise<{ deleted: boolean; reason: string | null }> => {
    const known = await ctx.runQuery(internal.scaler.cleanup.facts, {});
    if (known.token === null) {
      throw new FactoryError(
        "not_configured",
        "Missing Fly API token. Import an active 'fly.apiToken' secret or pass flyApiToken explicitly.",
      );
    }
    const provider = createProvider(known.provider, known.token);
    await provider.verifyOwner(factoryOwner(), await provider.list());
    const volume = (await provider.volumes.list()).find((candidate) => candidate.volumeId === volumeId);
    if (volume !== undefined && volume.attachedMachineId !== null) {
      return {
        deleted: false,
        reason: `Volume ${volumeId} is attached to machine ${volume.attachedMachineId}.`,
      };
    }
    await provider.volumes.delete(volumeId);
    await ctx.runMutation(internal.scaler.cleanup.note, {
      actor: actor ?? "operator",
      detail: `volume ${volumeId} deleted`,
      failed: 0,
    });
    return { deleted: true, reason: null };
  },
});
