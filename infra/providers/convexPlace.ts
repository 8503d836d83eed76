/** What every resource inside a Convex deployment shares: moving to another one, and losing the one it is in. */
import { canonicalJson } from "../platform/canonicalJson.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import { isDeploymentGone } from "../platform/convexKey.ts";

/**
 * Another URL is another deployment: the resource is made there and removed here. Another way to the same one
 * (its mode, its management API) only has to be noted, or a later `destroy` would ask for the wrong key.
 */
export function convexMoved(
  olds: ConvexAccess,
  news: ConvexAccess,
): { replaces: string[]; changed: boolean } {
  return {
    replaces: olds.url === news.url ? [] : ["convex"],
    changed: canonicalJson(olds) !== canonicalJson(news),
  };
}

/** The outcome of `work`, or `otherwise` when somebody deleted the deployment that it is about. */
export async function unlessDeploymentGone<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isDeploymentGone(error)) return otherwise;
    throw error;
  }
}
