/**
 * The end of what belongs to one Fly app. A stack that moves to another app deletes the former one's token, secrets and
 * app last, and by then the backend has to be done with it; a stack that comes back to an app before the deletions of
 * an earlier run were made must not carry them out on what it uses again.
 */
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { pause } from "../platform/pause.ts";
import { unlessDeploymentGone } from "./convexPlace.ts";

/** As the backend answers (`factory:appStatus`). */
export interface AppStatus {
  use: "in_force" | "leaving" | "free" | "unconfigured";
  live: number;
  waitMs: number;
  holdsImage: boolean;
  tokenApp: string | null;
  tokenId: string | null;
}

/** Where nobody answers there is nothing to spare. */
const GONE: AppStatus = {
  use: "free",
  live: 0,
  waitMs: 0,
  holdsImage: false,
  tokenApp: null,
  tokenId: null,
};
const LOOK_EVERY_MS = 1_000;

/** A deployment that never got its functions, or those of an earlier release, has no opinion. */
function isUnknownFunction(error: unknown): boolean {
  return /Could not find (\w+ )?function/.test(String(error));
}

async function ask(convex: ConvexAccess, appName: string): Promise<AppStatus> {
  try {
    return await unlessDeploymentGone(
      runConvexFunction<AppStatus>(convex, "factory:appStatus", { appName }),
      GONE,
    );
  } catch (error) {
    if (isUnknownFunction(error)) return GONE;
    throw error;
  }
}

/**
 * What to do with an app's former token. end: take it away. successor: the app goes on under another token of this
 * stack. wait: workers of the app have turns to finish. kept: the config in force names the app, though the stack's
 * token is for another one: the rollout that should have left it was taken back. holds_image: all are gone, but the
 * workers of the new app run an image from this one's repository (a digest that was pinned before the move).
 */
export function decideTokenEnd(
  status: AppStatus,
  token: { appName: string; tokenId: string },
): "end" | "successor" | "wait" | "kept" | "holds_image" {
  if (status.use === "free") return status.holdsImage ? "holds_image" : "end";
  if (status.use === "leaving") return "wait";
  if (status.tokenId === null || status.tokenId === token.tokenId) return "end";
  if (status.tokenApp === token.appName) return "successor";
  return status.use === "in_force" ? "kept" : "end";
}

/**
 * Waits until the backend is done with the app of a token that is to go.
 *
 * @returns whether the app goes on under another token, and the id of the one that the backend uses now.
 * @throws Error when a rollout went back to the app, or workers are left after the longest time that they may take.
 */
export async function awaitTokenEnd(
  convex: ConvexAccess,
  token: { appName: string; tokenId: string },
): Promise<{ verdict: "end" | "successor"; activeTokenId: string | null }> {
  let status = await ask(convex, token.appName);
  const deadline = Date.now() + status.waitMs;
  for (;;) {
    const verdict = decideTokenEnd(status, token);
    if (verdict === "end" || verdict === "successor") return { verdict, activeTokenId: status.tokenId };
    if (verdict === "kept") {
      throw new Error(
        `Fly app '${token.appName}' is kept with all its workers: a rollout to another app was rolled back to it. See \`npm run factory -- rollouts status\`; mend the cause, then run \`pulumi refresh\` and \`pulumi up\`.`,
      );
    }
    if (verdict === "holds_image") {
      throw new Error(
        `Fly app '${token.appName}' is not deleted: the image in force is in its repository. The new app serves. Copy the image into the new app's repository (a promotion does), pin it there, and run \`pulumi up\` again.`,
      );
    }
    if (Date.now() > deadline) {
      throw new Error(
        `Fly app '${token.appName}' is not deleted yet: ${status.live} workers are still in it after ${Math.round(status.waitMs / 1_000)} s. The new app serves; run \`pulumi up\` again to go on. \`npm run factory -- workers list\` lists them.`,
      );
    }
    await pause(LOOK_EVERY_MS);
    status = await ask(convex, token.appName);
  }
}

/** Whether the stack uses an app again that an earlier run left to be deleted: it has a token for it and serves there. */
export async function isInUseAgain(convex: ConvexAccess, appName: string): Promise<boolean> {
  const { use, tokenApp } = await ask(convex, appName);
  return use === "in_force" && tokenApp === appName;
}
