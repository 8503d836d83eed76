import { FactoryError } from "../errors.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { flyProvider } from "./fly/provider.ts";
import type { MachineProvider } from "./provider.ts";

const REQUIRED_FIELDS = ["appName", "organizationSlug", "image", "regions"] as const;

/**
 * Refuses a provider config that cannot be used, with the exact texts of the contract (spec B2). The stack
 * validates what it writes; this guards rows of older versions and operators' own calls.
 */
export function requireProviderConfig(provider: Partial<RuntimeConfig["provider"]>): void {
  if (provider.kind !== "fly") {
    throw new FactoryError("invalid_argument", `Unsupported provider '${provider.kind ?? ""}'`);
  }
  for (const field of REQUIRED_FIELDS) {
    const value = provider[field];
    if (value === undefined || value.length === 0) {
      throw new FactoryError(
        "invalid_argument",
        `Missing providerConfig.${field}. Pass providerConfig explicitly when starting/reconciling workers.`,
      );
    }
  }
}

/** The provider that the config names. The token is used for its calls and nothing else. */
export function createProvider(provider: RuntimeConfig["provider"], token: string): MachineProvider {
  requireProviderConfig(provider);
  return flyProvider({ apiUrl: provider.apiUrl, token }, provider.appName);
}
