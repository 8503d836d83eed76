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
        `The policies of this stack have ${result.problems.length} problem(s):`,
        ...result.problems.map((problem) => `  - agent-factory:policies.${problem}`),
        "Correct them in Pulumi.<stack>.yaml.",
      ].join("\n"),
    );
  }
  return result.config;
}

/** Checks the policies at preview, before anything is made; names and digest are not known then. */
export function checkRuntimeConfig(config: StackConfig): void {
  runtimeConfigOf(config, {
    appName: "preview",
    image: `preview/preview@sha256:${"0".repeat(64)}`,
    minSecretsVersion: 0,
  });
}
