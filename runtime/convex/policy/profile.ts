/** What an agent profile may hold, and which secrets it implies. */
import type { Infer } from "convex/values";
import type { vBridgeConfig, vBridgeFunction } from "../validators.ts";

type BridgeConfig = Infer<typeof vBridgeConfig>;

/** Characters. Together far below Convex's 1 MiB per document; the texts are also paid for in every turn. */
const TEXT_MAX_CHARS = 100_000;
const LIST_MAX = 200;
const KEY_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const FUNCTION_KEY_PATTERN = /^[A-Za-z0-9._-]{1,128}$/;

/** Refs that every agent needs (spec C5). */
const IMPLIED_REFS = ["convex.url", "fly.apiToken"] as const;

/** The given refs and the implied ones, each once, in a stable order. */
export function completeSecretRefs(given: readonly string[], bridge: BridgeConfig | undefined): string[] {
  const refs = new Set([...given, ...IMPLIED_REFS]);
  if (bridge?.enabled === true) {
    refs.add(bridge.serviceKeySecretRef ?? "agent-bridge.serviceKey");
    refs.add(bridge.appBaseUrlMapJsonSecretRef ?? "agent-bridge.baseUrlMapJson");
  }
  return [...refs];
}

/** The first problem, or null. */
export function checkProfile(profile: {
  agentKey: string;
  soulMd: string;
  clientMd?: string | undefined;
  skills: readonly string[];
  secretsRef: readonly string[];
  bridgeFunctions: ReadonlyArray<Infer<typeof vBridgeFunction>>;
}): string | null {
  if (!KEY_PATTERN.test(profile.agentKey)) {
    return "agentKey must start with a letter or digit and hold at most 128 letters, digits, '.', '_' or '-'";
  }
  for (const field of ["soulMd", "clientMd"] as const) {
    const length = profile[field]?.length ?? 0;
    if (length > TEXT_MAX_CHARS) return `${field} has ${length} characters, the limit is ${TEXT_MAX_CHARS}`;
  }
  for (const field of ["skills", "secretsRef", "bridgeFunctions"] as const) {
    const { length } = profile[field];
    if (length > LIST_MAX) return `${field} has ${length} entries, the limit is ${LIST_MAX}`;
  }
  for (const { key, parametersJson } of profile.bridgeFunctions) {
    if (!FUNCTION_KEY_PATTERN.test(key)) return `bridgeFunctions: '${key}' is not a function key`;
    if (!isJsonObject(parametersJson)) {
      return `bridgeFunctions: parametersJson of '${key}' must be a JSON Schema object`;
    }
  }
  return null;
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
