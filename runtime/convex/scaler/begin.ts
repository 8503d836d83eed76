/** Before each call to the provider: its intent is recorded, and what it needs is put together. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { workerToken } from "../machines/credentials.ts";
import { appOf } from "../machines/apps.ts";
import { OWNER_KEY, REVISION_KEY, WORKER_KEY } from "../machines/metadata.ts";
import { findWorker } from "../machines/rows.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { convexCloudUrl, factoryOwner, workerTokenKey } from "./environment.ts";
import { type Instruction, type OpKind, vInstruction, vOpKind } from "./shapes.ts";
import { holdsPass, readScalerState } from "./state.ts";

type Worker = Doc<"workers">;

/** In which state each call still makes sense; a row that moved on meanwhile needs none. */
function stillWanted(worker: Worker, kind: OpKind): boolean {
  switch (kind) {
    case "create":
      return worker.state === "creating" && worker.machineId === undefined;
    case "start":
      return worker.state === "creating" && worker.machineId !== undefined;
    case "suspend":
    case "stop":
      return (worker.state === "draining" && worker.load === 0) || worker.state === "warm";
    case "destroy":
      return worker.state === "stopping";
    case "verify":
      return worker.state !== "stopped";
  }
}

/** The config of the revision that the worker was made for, so that a create says what its row says. */
async function configOf(ctx: MutationCtx, worker: Worker): Promise<RuntimeConfig> {
  const row = await ctx.db
    .query("runtimeConfigHistory")
    .withIndex("by_revision", (q) => q.eq("revision", worker.configRevision))
    .first();
  return row === null ? (await readRuntimeConfig(ctx)).config : (row.config as RuntimeConfig);
}

async function createInstruction(
  ctx: MutationCtx,
  worker: Worker,
  current: RuntimeConfig,
): Promise<Instruction> {
  const { provider } = await configOf(ctx, worker);
  const state = await readScalerState(ctx);
  const now = Date.now();
  const blocked = new Set(
    (state?.regionBlocks ?? []).filter((block) => block.until > now).map((block) => block.region),
  );
  const open = current.provider.regions.filter((region) => !blocked.has(region));
  return {
    kind: "create",
    appName: appOf(worker, current.provider.appName),
    name: worker.workerId,
    image: provider.image,
    env: {
      ...provider.env,
      CONVEX_URL: convexCloudUrl(),
      WORKER_ID: worker.workerId,
      WORKER_TOKEN: await workerToken(workerTokenKey(), worker.workerId),
      WORKER_JOBS: String(worker.slots),
      WORKER_DRAIN_TIMEOUT_MS: String(current.drain.drainTimeoutMs),
      WORKER_IMAGE: provider.image,
    },
    metadata: {
      [OWNER_KEY]: factoryOwner(),
      [WORKER_KEY]: worker.workerId,
      [REVISION_KEY]: String(worker.configRevision),
    },
    guest: provider.guest,
    killTimeoutMs: current.drain.killTimeoutMs,
    minSecretsVersion: provider.minSecretsVersion,
    // All blocked: the first is asked all the same, since a block is only a guess.
    regions: open.length > 0 ? open : current.provider.regions.slice(0, 1),
    volumeSizeGb: provider.volume?.sizeGb ?? null,
  };
}

/** Before a call: records that it begins, and answers what to do; null when it must not be made (any more). */
export const begin = internalMutation({
  args: {
    generation: v.number(),
    workerId: v.string(),
    kind: vOpKind,
    /** Apps that the pass can reach. A config that names another one may have been applied since it began. */
    apps: v.array(v.string()),
  },
  returns: v.union(v.null(), vInstruction),
  handler: async (ctx, { generation, workerId, kind, apps }): Promise<Instruction | null> => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    const worker = await findWorker(ctx, workerId);
    if (worker === null || !stillWanted(worker, kind)) return null;
    if (kind !== "create" && worker.machineId === undefined) return null;
    const { config } = await readRuntimeConfig(ctx);
    const appName = appOf(worker, config.provider.appName);
    if (!apps.includes(appName)) return null;
    const now = Date.now();
    await ctx.db.patch("scalerState", state._id, { passSignAt: now });
    await ctx.db.patch("workers", worker._id, { op: { kind, begunAt: now, generation } });
    if (kind === "create") return await createInstruction(ctx, worker, config);
    return {
      kind: "machine",
      appName,
      op: kind,
      machineId: worker.machineId ?? "",
      timeoutMs: config.drain.killTimeoutMs,
      volumeId: worker.volumeId ?? null,
    };
  },
});
