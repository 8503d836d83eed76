/**
 * The acting half of a pass. It decides nothing: it lists, hands the listing to the plan, and makes the calls
 * that the plan asks for, each between an intent and an outcome. It may die at any point; whoever runs next
 * finds every begun call on its worker's row.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { type ActionCtx, internalAction } from "../_generated/server.js";
import { createProvider } from "../machines/createProvider.ts";
import type { MachineProvider } from "../machines/provider.ts";
import type { ProviderFailureKind } from "../policy/providerErrors.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { callMachine, createMachine, toFailure } from "./calls.ts";
import { factoryOwner } from "./environment.ts";
import type { Failure, Listing, PlannedOp } from "./shapes.ts";

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

/** An app of the pass, with the provider that reaches it. */
interface App {
  appName: string;
  checkOwner: boolean;
  provider: MachineProvider;
}
type Apps = ReadonlyMap<string, App>;

async function listMachines({
  appName,
  provider,
  checkOwner,
}: App): Promise<{ ok: true; listing: Listing } | { ok: false; failure: Failure }> {
  try {
    const machines = await provider.list();
    if (checkOwner) await provider.verifyOwner(factoryOwner(), machines);
    return { ok: true, listing: { appName, machines } };
  } catch (error) {
    return { ok: false, failure: toFailure(error) };
  }
}

/** Lists the apps that the stack is leaving. One that is gone has no machines; one that is refused is not believed. */
async function listFormer(apps: readonly App[]): Promise<{ listings: Listing[]; failure: string | null }> {
  const listings: Listing[] = [];
  let failure: string | null = null;
  for (const app of apps) {
    const listed = await listMachines(app);
    if (listed.ok) listings.push(listed.listing);
    else if (listed.failure.kind === "not_found") listings.push({ appName: app.appName, machines: [] });
    else failure = listed.failure.message;
  }
  return { listings, failure };
}

/**
 * Makes one planned call.
 *
 * @param apps those that may still be called.
 * @returns the app that the pass should call no more; null: none.
 */
async function callOne(
  ctx: ActionCtx,
  apps: Apps,
  generation: number,
  op: PlannedOp,
): Promise<string | null> {
  if (op.target === "orphan") {
    const app = apps.get(op.appName);
    if (app === undefined) return null;
    await ctx.runMutation(internal.scaler.outcome.recordOrphan, { machineId: op.machineId });
    try {
      await app.provider.destroy(op.machineId);
    } catch (error) {
      return ENDS_PASS.includes(toFailure(error).kind) ? op.appName : null;
    }
    return null;
  }
  const { workerId, kind } = op;
  const instruction = await ctx.runMutation(internal.scaler.begin.begin, {
    generation,
    workerId,
    kind,
    apps: [...apps.keys()],
  });
  const app = apps.get(instruction?.appName ?? "");
  if (instruction === null || app === undefined) return null;
  const outcome =
    instruction.kind === "create"
      ? await createMachine(app.provider, instruction)
      : await callMachine(app.provider, instruction);
  await ctx.runMutation(internal.scaler.outcome.record, { generation, workerId, kind, outcome });
  return !outcome.ok && ENDS_PASS.includes(outcome.failure.kind) ? app.appName : null;
}

async function callAll(
  ctx: ActionCtx,
  apps: Apps,
  generation: number,
  ops: readonly PlannedOp[],
): Promise<void> {
  const startedAt = Date.now();
  const queue = [...ops];
  const open = new Map(apps);
  const lane = async (): Promise<void> => {
    while (open.size > 0 && Date.now() - startedAt < BEGIN_WITHIN_MS) {
      const op = queue.shift();
      if (op === undefined) return;
      const ended = await callOne(ctx, open, generation, op);
      if (ended !== null) open.delete(ended);
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
    const config = context.provider as RuntimeConfig["provider"];
    const reached = context.apps.map(({ appName, token, checkOwner }): App => {
      return { appName, checkOwner, provider: createProvider({ ...config, appName }, token) };
    });
    const [inForce, ...former] = reached;
    let listings: Listing[] = [];
    let refused = false;
    if (context.list && inForce !== undefined) {
      const listed = await listMachines(inForce);
      const failure = listed.ok ? null : listed.failure;
      const left = await listFormer(former);
      await ctx.runMutation(internal.scaler.loop.noteListing, {
        generation,
        failure,
        ownerChecked: inForce.checkOwner && listed.ok ? inForce.appName : null,
        former: left.failure,
      });
      // Not ours: not even an order to end may reach such an app. One that the stack is leaving is served on.
      refused = failure?.kind === "not_owned" || failure?.kind === "auth";
      if (refused && former.length === 0) {
        await ctx.runMutation(internal.scaler.loop.end, { generation, nextTickAt: null, refused: null });
        return null;
      }
      listings = [...(listed.ok ? [listed.listing] : []), ...left.listings];
    }
    const planned = await ctx.runMutation(internal.scaler.plan.plan, {
      generation,
      demand: context.demand,
      listings,
    });
    if (planned === null) return null;
    const callable = new Map((refused ? former : reached).map((app) => [app.appName, app]));
    await callAll(ctx, callable, generation, planned.ops);
    await ctx.runMutation(internal.scaler.loop.end, {
      generation,
      nextTickAt: planned.nextTickAt,
      refused: null,
    });
    return null;
  },
});
