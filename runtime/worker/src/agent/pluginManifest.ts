import { PLUGIN_ID } from "./gatewayConfig.ts";

/**
 * The plugin's manifest. OpenClaw refuses tools that the manifest does not name, so it is rendered from the
 * bridge functions of the profiles seen so far.
 */
export function renderPluginManifest(toolNames: readonly string[]): Record<string, unknown> {
  return {
    id: PLUGIN_ID,
    name: "Agent Factory bridge",
    description: "Bridge functions of a profile as tools, and transcripts that can move between machines.",
    version: "1.0.0",
    activation: { onStartup: true },
    contracts: { tools: [...toolNames].sort() },
    configSchema: { type: "object", additionalProperties: false, properties: {} },
  };
}
