/** What a pass needs to know before it talks to the provider; read in one query. */
import { type Infer, v } from "convex/values";
import { internalQuery } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { requireProviderConfig } from "../machines/createProvider.ts";
import { appsInUse, readAppToken } from "../machines/apps.ts";
import { liveWorkers } from "../machines/rows.ts";
import { readSecret } from "../secrets/read.ts";
import { readDemand } from "./demand.ts";
import { vDemand } from "./shapes.ts";
import { holdsPass, readScalerState } from "./state.ts";

/** How long a proven ownership is believed, ms: a network never changes, a machine of a stranger may appear. */
const OWNER_RECHECK_MS = 10 * 60_000;

const MISSING_TOKEN =
  "Missing Fly API token. Import an active 'fly.apiToken' secret or pass flyApiToken explicitly.";
const MISSING_URL = "Missing Convex URL. Import an active 'convex.url' secret or pass convexUrl explicitly.";

export const vPassContext = v.union(
  /** Another pass has taken over, or nothing is configured yet. */
  v.object({ go: v.literal("no") }),
  /** Something that people must mend. */
  v.object({ go: v.literal("refused"), message: v.string() }),
  v.object({
    go: v.literal("yes"),
    // The zod schema in policy/runtimeConfig.ts describes it.
    provider: v.any(),
    /** The app in force first; then the one that the stack is leaving, while something of ours is left there. */
    apps: v.array(v.object({ appName: v.string(), token: v.string(), checkOwner: v.boolean() })),
    list: v.boolean(),
    demand: vDemand,
  }),
);
export type PassContext = Infer<typeof vPassContext>;

/** The deployment's own URL has two kinds; each belongs in one place (spec C4). */
function urlProblem(siteUrl: string): string | null {
  let host: string;
  try {
    host = new URL(siteUrl).hostname;
  } catch {
    return `The secret 'convex.url' is not a URL. Import the deployment's HTTP actions URL (https://<name>.convex.site).`;
  }
  if (host.endsWith(".convex.cloud")) {
    return `The secret 'convex.url' is a .convex.cloud URL; the .convex.site URL of the same deployment is wanted here.`;
  }
  return null;
}

export const read = internalQuery({
  args: { generation: v.number() },
  returns: vPassContext,
  handler: async (ctx, { generation }): Promise<PassContext> => {
    const state = await readScalerState(ctx);
    const active = await readRuntimeConfigOrNull(ctx);
    if (!holdsPass(state, generation) || active === null) return { go: "no" };
    const { provider, scaling, turn } = active.config;
    try {
      requireProviderConfig(provider);
    } catch (error) {
      return { go: "refused", message: providerProblem(error) };
    }
    const rows = await liveWorkers(ctx);
    const opened: Array<{ appName: string; token: string }> = [];
    for (const appName of await appsInUse(ctx, rows, provider.appName)) {
      const token = await readAppToken(ctx, appName);
      if (token === null || token === "") return { go: "refused", message: MISSING_TOKEN };
      opened.push({ appName, token });
    }
    const siteUrl = await readSecret(ctx, "convex.url");
    if (siteUrl === null || siteUrl === "") return { go: "refused", message: MISSING_URL };
    const problem = urlProblem(siteUrl);
    if (problem !== null) return { go: "refused", message: problem };

    const now = Date.now();
    const demand = await readDemand(ctx, turn.dedication);
    const backedOff = state.backoffUntil !== undefined && state.backoffUntil > now;
    const listDue = now >= (state.lastListAt ?? 0) + scaling.reconcileIntervalMs;
    const orphan = await ctx.db.query("orphanMachines").first();
    const concerned = rows.length > 0 || orphan !== null || demand.due > 0 || scaling.minWorkers > 0;
    const list = listDue && !backedOff && concerned;
    const checked =
      state.ownerCheckedApp === provider.appName && now < (state.ownerCheckedAt ?? 0) + OWNER_RECHECK_MS;
    // A former app is looked at for the length of a move alone: its owner is asked for each time.
    const apps = opened.map((app) => ({
      ...app,
      checkOwner: list && (app.appName !== provider.appName || !checked),
    }));
    return { go: "yes", provider, apps, list, demand };
  },
});

function providerProblem(error: unknown): string {
  const data = (error as { data?: { message?: unknown } }).data;
  return typeof data?.message === "string" ? data.message : "The provider config cannot be used.";
}
