/** A profile's bridge functions as the gateway needs them, with the keys of this one turn. */
import type { HydrationBundle, Profile } from "../../../convex/validators.ts";
import { type BridgeResolution, resolveBridgeRuntimeConfig } from "../bridge/config.ts";
import { modelToolName } from "../bridge/modelToolName.ts";

export interface BridgeToolSpec {
  key: string;
  toolName: string;
  description: string;
  /** JSON Schema of the arguments. */
  parameters: Record<string, unknown>;
}

const anyObject = { type: "object", properties: {}, additionalProperties: true };

/** Functions whose parameters are not a JSON Schema of an object take any: a model can still use them. */
export function bridgeToolSpecs(profile: Profile): BridgeToolSpec[] {
  return profile.bridgeFunctions.map(({ key, description, parametersJson }) => ({
    key,
    toolName: modelToolName(key),
    description,
    parameters: parseSchema(parametersJson),
  }));
}

function parseSchema(json: string): Record<string, unknown> {
  try {
    const parsed = JSON.parse(json) as unknown;
    const isObjectSchema =
      typeof parsed === "object" && parsed !== null && (parsed as { type?: unknown }).type === "object";
    return isObjectSchema ? (parsed as Record<string, unknown>) : anyObject;
  } catch {
    return anyObject;
  }
}

/** Where the bridge is; an error that names what is missing reaches the model as the tool's answer. */
export function resolveBridge(bundle: HydrationBundle): BridgeResolution {
  return resolveBridgeRuntimeConfig(bundle.bridgeRuntimeConfig, process.env);
}
