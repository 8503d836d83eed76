/** The apps in which an environment has machines: the one in force, and while a stack moves, the one that it leaves. */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { tokenVersionFor } from "../policy/appToken.ts";
import { open, readKeyRing } from "../secrets/envelope.ts";

/** A stack rotates its token a few times a year; more former versions than these open nothing any more. */
const VERSIONS_READ_MAX = 20;
const ORPHANS_READ_MAX = 1_000;

/** @param inForce the config's app, for rows of releases that did not write it down. */
export function appOf(row: { appName?: string | undefined }, inForce: string): string {
  return row.appName ?? inForce;
}

/**
 * The app in force first, then those in which something of ours is left to look after. A machine that nobody owns is
 * told once to end: at the latest it goes with the app that the stack is leaving.
 */
export async function appsInUse(
  ctx: QueryCtx,
  workers: ReadonlyArray<Doc<"workers">>,
  inForce: string,
): Promise<string[]> {
  const orphans = await ctx.db.query("orphanMachines").take(ORPHANS_READ_MAX);
  const untold = orphans.filter((row) => row.destroyAskedAt === undefined);
  return [...new Set([inForce, ...[...workers, ...untold].map((row) => appOf(row, inForce))])];
}

/**
 * The token for one app's machines; null when none was imported, or it was removed.
 *
 * @throws not_configured or decryption_failed: an unreadable secret is never taken for a missing one.
 */
export async function readAppToken(ctx: QueryCtx, appName: string): Promise<string | null> {
  const rows = await ctx.db
    .query("secrets")
    .withIndex("by_ref_version", (q) => q.eq("secretRef", "fly.apiToken"))
    .order("desc")
    .take(VERSIONS_READ_MAX);
  const chosen = tokenVersionFor(
    rows.map(({ version, active, wrappedKey, metadata }) => ({
      version,
      active,
      readable: wrappedKey !== "",
      appName: metadata?.appName ?? null,
    })),
    appName,
  );
  const row = rows.find(({ version }) => version === chosen);
  return row === undefined ? null : await open(row, row, readKeyRing());
}
