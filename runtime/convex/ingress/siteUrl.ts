/** Which site URLs Telegram may be pointed at. */

export type SiteUrlCheck = { ok: true; url: string } | { ok: false; error: string };

const LOOPBACK_HOSTS = new Set(["127.0.0.1", "localhost", "[::1]"]);

function parse(url: string): URL | null {
  return URL.canParse(url) ? new URL(url) : null;
}

const isLoopback = (url: URL | null): boolean => url !== null && LOOPBACK_HOSTS.has(url.hostname);

/**
 * https only. http on loopback is taken when the Bot API itself is on loopback: that is the embedded cloud, whose
 * Telegram runs on the same machine; the real one would never reach it.
 */
export function checkSiteUrl(siteUrl: string, telegramApiUrl: string): SiteUrlCheck {
  const url = parse(siteUrl);
  if (url !== null && url.hostname.endsWith(".convex.cloud")) {
    return {
      ok: false,
      error: `convexSiteUrl must be the .convex.site URL, got the .convex.cloud one (${url.origin})`,
    };
  }
  if (url?.protocol === "https:") return { ok: true, url: siteUrl.replace(/\/+$/, "") };
  if (url?.protocol === "http:" && isLoopback(url)) {
    if (isLoopback(parse(telegramApiUrl))) return { ok: true, url: siteUrl.replace(/\/+$/, "") };
    return {
      ok: false,
      error:
        "convexSiteUrl must start with https:// (http:// on loopback only while telegram.apiUrl is a loopback address too, as in the embedded cloud)",
    };
  }
  return { ok: false, error: "convexSiteUrl must start with https://" };
}
