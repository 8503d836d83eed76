/**
 * The acting half of a pass. It decides nothing: it lists, hands the listing to the plan, and makes the calls
 * that the plan asks for, each between an intent and an outcome. It may die at any point; whoever runs next
 * finds every begun call on its worker's row.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { type ActionCtx, internalAction } from "../_generated/server.js";
import { createProvider } from "../machines/createProvider.ts";
import type { MachineProvider, ObservedMachine } from "../machines/provider.ts";
import type { ProviderFailureKind } from "../policy/providerErrors.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { callMachine, createMachine, toFailure } from "./calls.ts";
import { factoryOwner } from "./environment.ts";
import type { Failure, PlannedOp } from "./shapes.ts";

/** Calls at once: Fly allows one a second and a burst of three per app. */
const CALLS_AT_ONCE = 3;
/** No new call begins after this time, so that a pass ends well before its watchdog, ms. */
const BEGIN_WITHIN_MS = 25_000;

/** Failures after which further calls of the same pass would only fail the same way. */
const ENDS_PASS: readonly ProviderFailureKind[] = [
  "rate_limited",
  "auth",
  "not_owned",
  "quota",
  "unreachable",
];

async function listMachines(
  provider: MachineProvider,
  checkOwner: boolean,
): Promise<{ ok: true; listing: ObservedMachine[] } | { ok: false; failure: Failure }> {
  try {
    const listing = await provider.list();
    if (checkOwner) await provider.verifyOwner(factoryOwner(), listing);
    return { ok: true, listing };
  } catch (error) {
    return { ok: false, failure: toFailure(error) };
  }
}

/** Makes one planned call; returns false when the pass should make no further one. */
async function callOne(
  ctx: ActionCtx,
  provider: MachineProvider,
  generation: number,
  op: PlannedOp,
): Promise<boolean> {
  if (op.target === "orphan") {
    await ctx.runMutation(internal.scaler.outcome.recordOrphan, { machineId: op.machineId });
    try {
      await provider.destroy(op.machineId);
    } catch (error) {
      return !ENDS_PASS.includes(toFailure(error).kind);
    }
    return true;
  }
  const { workerId, kind } = op;
  const instruction = await ctx.runMutation(internal.scaler.begin.begin, { generation, workerId, kind });
  if (instruction === null) return true;
  const outcome =
    instruction.kind === "create"
      ? await createMachine(provider, instruction)
      : await callMachine(provider, instruction);
  await ctx.runMutation(internal.scaler.outcome.record, { generation, workerId, kind, outcome });
  return outcome.ok || !ENDS_PASS.includes(outcome.failure.kind);
}

async function callAll(
  ctx: ActionCtx,
  provider: MachineProvider,
  generation: number,
  ops: readonly PlannedOp[],
): Promise<void> {
  const startedAt = Date.now();
  const queue = [...ops];
  let goOn = true;
  const lane = async (): Promise<void> => {
    while (goOn && Date.now() - startedAt < BEGIN_WITHIN_MS) {
      const op = queue.shift();
      if (op === undefined) return;
      if (!(await callOne(ctx, provider, generation, op))) goOn = false;
    }
  };
  await Promise.all(Array.from({ length: Math.min(CALLS_AT_ONCE, ops.length) }, lane));
}

export const run = internalAction({
  args: { generation: v.number() },
  returns: v.null(),
  handler: async (ctx, { generation }) => {
    const context = await ctx.runQuery(internal.scaler.context.read, { generation });
    if (context.go !== "yes") {
      const refused = context.go === "refused" ? context.message : null;
      await ctx.runMutation(internal.scaler.loop.end, { generation, nextTickAt: null, refused });
      return null;
    }
    const provider = createProvider(context.provider as RuntimeConfig["provider"], context.token);
    let listing: ObservedMachine[] | null = null;
    if (context.list) {
      const listed = await listMachines(provider, context.checkOwner);
      const failure = listed.ok ? null : listed.failure;
      const ownerChecked = context.checkOwner && listed.ok;
      await ctx.runMutation(internal.scaler.loop.noteListing, { generation, failure, ownerChecked });
      // Not ours: not even an order to end may reach such an app.
      if (failure?.kind === "not_owned" || failure?.kind === "auth") {
        await ctx.runMutation(internal.scaler.loop.end, { generation, nextTickAt: null, refused: null });
        return null;
      }
      if (listed.ok) listing = listed.listing;
    }
    const planned = await ctx.runMutation(internal.scaler.plan.plan, {
      generation,
      demand: context.demand,
      listing,
    });
    if (planned === null) return null;
    await callAll(ctx, provider, generation, planned.ops);
    await ctx.runMutation(internal.scaler.loop.end, {
      generation,
      nextTickAt: planned.nextTickAt,
      refused: null,
    });
    return null;
  },
});
