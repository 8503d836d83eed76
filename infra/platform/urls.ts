/** Rules about endpoints that more than one resource needs. */

/** True for http(s) URLs of this machine: the embedded cloud. */
export function isLoopbackUrl(url: string): boolean {
  try {
    return ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/**
 * The `.convex.site` URL of a cloud deployment, from its `.convex.cloud` URL (spec C4).
 * @throws Error when the URL is of the wrong kind.
 */
export function convexSiteUrl(cloudUrl: string): string {
  const url = new URL(cloudUrl);
  if (url.hostname.endsWith(".convex.site")) {
    throw new Error(
      `convex.url must be the deployment's .convex.cloud URL; ${cloudUrl} is its .convex.site URL. Use ${cloudUrl.replace(".convex.site", ".convex.cloud")}`,
    );
  }
  if (!url.hostname.endsWith(".convex.cloud")) {
    throw new Error(
      `convex.url must end in .convex.cloud (got ${url.hostname}); for your own backend set convex.mode to selfHosted with url and siteUrl`,
    );
  }
  return `https://${url.hostname.replace(/\.convex\.cloud$/, ".convex.site")}`;
}
