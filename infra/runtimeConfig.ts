/** From the stack's config to the config that the backend reads. */
import { parseRuntimeConfig, type RuntimeConfigInput } from "../runtime/convex/policy/runtimeConfig.ts";
import type { StackConfig } from "./config.ts";

/** What only the deploy knows. */
export interface DeployedParts {
  appName: string;
  image: string;
  minSecretsVersion: number;
}

/**
 * The runtime config of an environment, defaults filled in.
 * @throws Error listing every problem by its field.
 */
export function runtimeConfigOf(config: StackConfig, deployed: DeployedParts): Record<string, unknown> {
  const input = {
    ...config.policies,
    provider: {
      kind: "fly",
      apiUrl: config.fly.apiUrl,
      registryUrl: config.fly.registryUrl,
      appName: deployed.appName,
      organizationSlug: config.fly.organization,
      image: deployed.image,
      regions: config.fly.regions,
      guest: config.fly.guest,
      volume: config.fly.volumeSizeGb === null ? null : { sizeGb: config.fly.volumeSizeGb },
      env: {
        ...config.workerEnv,
        OPENCLAW_AGENT_MODEL: config.model.name,
        ...(config.model.baseUrl ? { OPENCLAW_MODEL_BASE_URL: config.model.baseUrl } : {}),
        ...(config.model.fallbacks.length > 0
          ? { OPENCLAW_AGENT_MODEL_FALLBACKS: config.model.fallbacks.join(",") }
          : {}),
      },
      minSecretsVersion: deployed.minSecretsVersion,
    },
    telegram: config.telegram,
  } as RuntimeConfigInput;
  const result = parseRuntimeConfig(input);
  if (!result.ok) {
    throw new Error(
      [
        "The runtime config of this stack is not valid:",
        ...result.problems.map((problem) => `  - ${problem}`),
      ].join("\n"),
    );
  }
  return result.config;
}
