/**
 * What an error of a machine provider means, decided from status and body. Fly's texts are not a contract, so
 * the machine-readable `status` field counts first and the text second; 409 and 403 alone say nothing.
 * Sources: Fly's OpenAPI, fly-go, and the table in Fly's own client.
 */

export type ProviderFailure =
  /** The named thing does not exist: the only proof that it is gone. */
  | { kind: "not_found" }
  | { kind: "name_taken"; machineId: string | null }
  /** This region has no room: try the next. */
  | { kind: "no_capacity"; scope: "region" | "volume_host" | "machine_host" }
  /** The organization may not have more; people must act. */
  | { kind: "quota" }
  | { kind: "auth" }
  /** The app belongs to another deployment. */
  | { kind: "not_owned" }
  | { kind: "rate_limited"; retryAfterMs: number | null }
  /** The machine's host has not seen the secrets yet. */
  | { kind: "secrets_pending" }
  /** Somebody else works on the same machine, or it is between two states. */
  | { kind: "busy" }
  /** Refused for a reason that repeating will not change. */
  | { kind: "rejected" }
  /** Never reached the provider. */
  | { kind: "unreachable" }
  /** May have acted: timeouts, cut connections, server errors. Never treated as failure. */
  | { kind: "unknown" };

export type ProviderFailureKind = ProviderFailure["kind"];

/** How the exchange ended: with an answer, or without one. */
export type ProviderExchange =
  | { type: "answer"; status: number; body: string; retryAfter: string | null }
  | { type: "timeout" }
  | { type: "network"; code: string | null };

/** Longest Retry-After that is believed, ms. */
const RETRY_AFTER_MAX_MS = 10 * 60_000;
/** Errors of a connection that was never made. */
const NOT_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

interface ErrorBody {
  status: string | null;
  text: string;
}

/** `status` of Fly's error body, and whatever text it carries; a body that is no JSON is all text. */
function readBody(body: string): ErrorBody {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== "object" || parsed === null) return { status: null, text: body };
    const fields = parsed as Record<string, unknown>;
    const status = typeof fields.status === "string" ? fields.status : null;
    const text = [fields.error, fields.message].filter((part) => typeof part === "string").join(" ");
    return { status, text: text === "" ? body : text };
  } catch {
    return { status: null, text: body };
  }
}

function retryAfterMs(header: string | null): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  if (!Number.isFinite(seconds) || seconds < 0) return null;
  return Math.min(seconds * 1_000, RETRY_AFTER_MAX_MS);
}

/** Classifies a failed exchange; call it only for one that did not succeed. */
export function classifyFailure(exchange: ProviderExchange): ProviderFailure {
  if (exchange.type === "timeout") return { kind: "unknown" };
  if (exchange.type === "network") {
    return exchange.code !== null && NOT_CONNECTED.has(exchange.code)
      ? { kind: "unreachable" }
      : { kind: "unknown" };
  }
  const { status: httpStatus } = exchange;
  const { status, text } = readBody(exchange.body);
  if (httpStatus === 429) return { kind: "rate_limited", retryAfterMs: retryAfterMs(exchange.retryAfter) };
  if (httpStatus === 401) return { kind: "auth" };
  if (httpStatus === 404) return { kind: "not_found" };
  if (httpStatus === 408 || httpStatus >= 500) return { kind: "unknown" };

  if (status === "insufficient_capacity") return { kind: "no_capacity", scope: "region" };
  if (status === "volume_placement_capacity") return { kind: "no_capacity", scope: "volume_host" };
  if (/unique machine name violation/i.test(text)) {
    return {
      kind: "name_taken",
      machineId: /machine id ([a-z0-9]+) already exists/i.exec(text)?.[1] ?? null,
    };
  }
  if (/over the allowed quota|machine limit|limit of machines|exceed.*(limit|quota)/i.test(text))
    return { kind: "quota" };
  if (/with existing volume/i.test(text) && /insufficient resources/i.test(text)) {
    return { kind: "no_capacity", scope: "volume_host" };
  }
  if (/insufficient (cpus|memory|ips|resources) available/i.test(text))
    return { kind: "no_capacity", scope: "machine_host" };
  if (/no capacity|insufficient (resources|capacity)/i.test(text))
    return { kind: "no_capacity", scope: "region" };
  if (httpStatus === 412) return { kind: "secrets_pending" };
  if (httpStatus === 403) return { kind: "auth" };
  if (httpStatus === 409) return { kind: "busy" };
  return { kind: "rejected" };
}
