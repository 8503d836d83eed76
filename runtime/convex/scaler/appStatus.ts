/** What the stack asks about an app before it takes its token and deletes it. */
import { type Infer, v } from "convex/values";
import { internalQuery } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { appOf, appsInUse } from "../machines/apps.ts";
import { liveWorkers } from "../machines/rows.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { findActive } from "../secrets/read.ts";
import { activeRollout } from "./rolloutStart.ts";

const vStatus = v.object({
  /**
   * in_force: the config names it, and the stack is not being destroyed. leaving: workers or machines of ours are
   * left in it, or a rollout may yet go back to it. free: nothing of this environment needs it. unconfigured: no config
   * was applied yet.
   */
  use: v.union(v.literal("in_force"), v.literal("leaving"), v.literal("free"), v.literal("unconfigured")),
  /** Workers in it that are not over. */
  live: v.number(),
  /** Longest time that leaving it can take, ms: the gate, the longest turn, the drain, the kill. */
  waitMs: v.number(),
  /** The image in force is in this app's repository, which goes with the app. */
  holdsImage: v.boolean(),
  /** App and id of the active Fly token, as its import noted them; null where it did not, and without a token. */
  tokenApp: v.union(v.string(), v.null()),
  tokenId: v.union(v.string(), v.null()),
});
type Status = Infer<typeof vStatus>;

/** Calls to Fly and the scaler's own intervals come on top of the policies' times. */
const SLACK_MS = 60_000;

function longestLeave({ rollout, turn, drain, scaling }: RuntimeConfig, gated: boolean): number {
  const gate = gated ? rollout.gateTimeoutMs + rollout.gateObserveMs : 0;
  return (
    gate +
    turn.turnTimeoutMs +
    drain.drainTimeoutMs +
    drain.killTimeoutMs +
    scaling.missingMachineGraceMs +
    SLACK_MS
  );
}

/** `factory:appStatus`, for the stack alone. */
export const appStatus = internalQuery({
  args: { appName: v.string() },
  returns: vStatus,
  handler: async (ctx, { appName }): Promise<Status> => {
    const metadata = (await findActive(ctx, "fly.apiToken"))?.metadata;
    const token = { tokenApp: metadata?.appName ?? null, tokenId: metadata?.tokenId ?? null };
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { ...token, use: "unconfigured", live: 0, waitMs: 0, holdsImage: false };
    const inForce = active.config.provider.appName;
    const rows = await liveWorkers(ctx);
    const live = rows.filter((row) => appOf(row, inForce) === appName).length;
    const rollout = await activeRollout(ctx);
    const retired = active.retired === true;
    const holdsImage = !retired && active.config.provider.image.includes(`/${appName}@`);
    const facts = { ...token, live, holdsImage, waitMs: longestLeave(active.config, rollout !== null) };
    if (inForce === appName) return { ...facts, use: retired ? "free" : "in_force" };
    const left = rollout === null && !(await appsInUse(ctx, rows, inForce)).includes(appName);
    return { ...facts, use: left ? "free" : "leaving" };
  },
});
