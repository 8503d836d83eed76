/** What may be imported as a secret, and under which name. */

const REF_PATTERN = /^[A-Za-z][A-Za-z0-9_.-]{0,127}$/;
/** Far below Convex's document limit, far above any token or URL map. */
const VALUE_MAX_CHARS = 65_536;

/** The first problem, or null. Never quotes the value. */
export function checkSecret(
  secretRef: string,
  value: string,
  deployment: { cloudUrl: string | undefined; siteUrl: string | undefined },
): string | null {
  if (!REF_PATTERN.test(secretRef)) {
    return "secretRef must start with a letter and hold at most 128 letters, digits, '.', '_' or '-'";
  }
  if (value.trim() === "") return `plaintextValue of '${secretRef}' must not be blank`;
  if (value.length > VALUE_MAX_CHARS) {
    return `plaintextValue of '${secretRef}' has ${value.length} characters, the limit is ${VALUE_MAX_CHARS}`;
  }
  return secretRef === "convex.url" ? checkSiteUrl(value, deployment) : null;
}

/** `convex.url` takes the site URL; the cloud URL, which workers use, is derived and never imported. */
function checkSiteUrl(
  value: string,
  deployment: { cloudUrl: string | undefined; siteUrl: string | undefined },
): string | null {
  const wanted = `'convex.url' takes the deployment's site URL (https://<deployment>.convex.site${
    deployment.siteUrl === undefined ? "" : `, here ${deployment.siteUrl}`
  })`;
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return `${wanted}; the value is not a URL`;
  }
  if (url.hostname.endsWith(".convex.cloud") || isSameOrigin(url, deployment.cloudUrl)) {
    return `${wanted}; the value is the cloud URL`;
  }
  if (url.hostname.endsWith(".convex.site") || isSameOrigin(url, deployment.siteUrl)) return null;
  return `${wanted}; the value is neither`;
}

function isSameOrigin(url: URL, other: string | undefined): boolean {
  return other !== undefined && URL.canParse(other) && new URL(other).origin === url.origin;
}
