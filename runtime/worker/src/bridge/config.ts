/** Where a bridge is and who we are to it: what the backend hydrated first, then the environment. */
import type { BridgeRuntimeConfig } from "../../../convex/validators.ts";

export interface ResolvedBridge {
  /** Without a trailing slash. */
  baseUrl: string;
  serviceId: string;
  serviceKey: string;
  appKey: string;
}

export type BridgeResolution = { ok: true; config: ResolvedBridge } | { ok: false; error: string };
type Env = Readonly<Record<string, string | undefined>>;

const variables = {
  baseUrl: ["OPENCLAW_AGENT_BRIDGE_BASE_URL", "AGENT_BRIDGE_BASE_URL"],
  serviceId: ["OPENCLAW_SERVICE_ID", "AGENT_BRIDGE_SERVICE_ID"],
  serviceKey: ["OPENCLAW_SERVICE_KEY", "AGENT_BRIDGE_SERVICE_KEY"],
  appKey: ["OPENCLAW_AGENT_APP", "OPENCLAW_APP_KEY", "AGENT_BRIDGE_APP_KEY"],
} as const;
const MAP_VARIABLE = "APP_BASE_URL_MAP_JSON";
const DEFAULT_APP_VARIABLE = "AGENT_BRIDGE_DEFAULT_APP_KEY";

/**
 * Resolves each field: the first value that is not blank of the hydrated config and the environment; the base URL
 * then by app key from the map of base URLs.
 *
 * @returns an error that names every missing field and how to set it; never a value.
 */
export function resolveBridgeRuntimeConfig(
  hydrated: Partial<BridgeRuntimeConfig> | null | undefined,
  env: Env = process.env,
): BridgeResolution {
  const field = (name: keyof typeof variables): string | null =>
    firstFilled(hydrated?.[name], ...variables[name].map((variable) => env[variable]));
  const appKey = field("appKey") ?? firstFilled(env[DEFAULT_APP_VARIABLE]);
  const map = parseMap(firstFilled(hydrated?.appBaseUrlMapJson, env[MAP_VARIABLE]));
  if (map === "malformed") {
    return { ok: false, error: "The bridge's map of base URLs is not a JSON object of app key to URL" };
  }
  const values = {
    baseUrl: field("baseUrl") ?? (appKey === null ? null : firstFilled(map[appKey])),
    serviceId: field("serviceId"),
    serviceKey: field("serviceKey"),
    appKey,
  };
  const missing = Object.entries(values).flatMap(([name, value]) => (value === null ? [name] : []));
  const { baseUrl, serviceId, serviceKey } = values;
  if (baseUrl === null || serviceId === null || serviceKey === null || appKey === null) {
    return { ok: false, error: `The bridge is not configured: missing ${missing.join(", ")}` };
  }
  return { ok: true, config: { baseUrl: baseUrl.replace(/\/+$/, ""), serviceId, serviceKey, appKey } };
}

function firstFilled(...values: Array<string | null | undefined>): string | null {
  return values.find((value) => value !== undefined && value !== null && value.trim() !== "")?.trim() ?? null;
}

function parseMap(json: string | null): Record<string, string> | "malformed" {
  if (json === null) return {};
  try {
    const parsed = JSON.parse(json) as unknown;
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return "malformed";
    return Object.fromEntries(
      Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch {
    return "malformed";
  }
}
