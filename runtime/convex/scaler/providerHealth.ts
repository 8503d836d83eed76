/** What calls say about the provider itself: back-off, blocked regions, and what an operator should know. */
import type { MutationCtx } from "../_generated/server.js";
import { advice, backoffMs, REGION_BLOCK_MS } from "../policy/providerBackoff.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import type { Failure, OpKind } from "./shapes.ts";
import { readScalerState } from "./state.ts";
import { clipText } from "../policy/clipText.ts";

/** Alerts that a call which succeeds puts an end to. */
const MENDED_BY_SUCCESS = [
  "auth",
  "quota",
  "no_capacity",
  "rejected",
  "not_owned",
  "secrets_pending",
  "provider",
  "config",
];

/** A failure holds back further creates and starts; a success lifts that. */
export async function noteProviderHealth(
  ctx: MutationCtx,
  kind: OpKind | "list",
  failure: Failure | null,
): Promise<void> {
  const state = await readScalerState(ctx);
  if (state === null) return;
  const makes = kind === "create" || kind === "start" || kind === "list";
  if (failure === null) {
    // A listing proves that Fly answers, not that it has room.
    if (kind === "create" || kind === "start") {
      if (state.failures > 0) {
        await ctx.db.patch("scalerState", state._id, {
          failures: 0,
          backoffUntil: undefined,
          blockedBy: undefined,
        });
      }
      await clearAlerts(ctx, MENDED_BY_SUCCESS);
    } else if (kind === "list") await clearAlerts(ctx, ["auth", "not_owned", "provider", "config"]);
    return;
  }
  if (!makes) return;
  const failures = state.failures + 1;
  const waitMs = backoffMs(failure.kind, failures, failure.retryAfterMs);
  if (waitMs === 0) return;
  await ctx.db.patch("scalerState", state._id, {
    failures,
    backoffUntil: Date.now() + waitMs,
    blockedBy: clipText(failure.message, 300),
  });
  const told = advice(failure.kind);
  if (told !== null) await raiseAlert(ctx, failure.kind, `${told} (${failure.message})`);
  else if (failures >= 3) await raiseAlert(ctx, "provider", failure.message);
}

/** Regions without room are left out for a while. */
export async function blockRegions(ctx: MutationCtx, regions: readonly string[]): Promise<void> {
  const state = await readScalerState(ctx);
  if (state === null || regions.length === 0) return;
  const now = Date.now();
  const kept = state.regionBlocks.filter((block) => block.until > now && !regions.includes(block.region));
  const added = regions.map((region) => ({ region, until: now + REGION_BLOCK_MS, reason: "no capacity" }));
  await ctx.db.patch("scalerState", state._id, { regionBlocks: [...kept, ...added].slice(-100) });
}
