/** A stack's config and secrets, and what its providers would answer. */
import * as pulumi from "@pulumi/pulumi";
import { parseStackConfig, type StackConfig, type StackSecrets } from "../config.ts";
import { Environment } from "../components/environment.ts";
import { type Registered, startEngine } from "./engine.ts";

const ROOT = process.cwd();
export const BOT_TOKEN = "900:canary-of-the-bot";
export const MODEL_KEY = "canary-of-the-model-key";
export const DIGEST = `registry.fly.io/af-prod@sha256:${"a".repeat(64)}`;

export function stackConfig(overrides: Record<string, unknown> = {}): StackConfig {
  const parsed = parseStackConfig({
    fly: { organization: "acme", regions: ["fra"] },
    convex: { mode: "existing", url: "https://happy-otter-123.convex.cloud" },
    image: { builder: "prebuilt", image: DIGEST },
    model: { name: "openai/gpt-5-mini" },
    agents: [{ agentKey: "default", soulFile: "agents/default.soul.md" }],
    ...overrides,
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config;
}

export function stackSecrets(bots: Record<string, string> = { default: BOT_TOKEN }): StackSecrets {
  return {
    telegramBotTokens: pulumi.secret(bots),
    telegramAgentKeys: Object.keys(bots).sort(),
    modelKeys: pulumi.secret<Record<string, string>>({ OPENAI_API_KEY: MODEL_KEY }),
  };
}

/** Outputs of a finished `up`. */
function outputsOf(type: string, name: string, inputs: Record<string, unknown>): Record<string, unknown> {
  switch (type) {
    case "RandomId":
      return { hex: "0123456789abcdef" };
    case "RandomBytes":
      return { base64: Buffer.from(`bytes-of-${name}`).toString("base64") };
    case "RandomPassword":
      return { result: `password-of-${name}` };
    case "FlyApp":
      return { appId: `id-of-${name}` };
    case "FlySecrets":
      return { version: 3 };
    case "FlyToken":
      return { tokenId: "token-1", secretVersion: 1 };
    case "BackendSecret":
      return { version: 2 };
    case "Command":
      return { stdout: name === "image-build" ? `registry.fly.io/af-x@sha256:${"b".repeat(64)}\n` : "" };
    case "ConvexDeployment":
      return { deploymentName: "quick-fox-1", url: "https://quick-fox-1.convex.cloud", projectId: 1 };
    case "RuntimeConfig":
      return { revision: 7 };
    case "TelegramWebhook":
      return { webhookUrl: `${String(inputs["siteUrl"])}/agent-factory/telegram/webhook` };
    default:
      return {};
  }
}

export interface Composed {
  environment: Environment;
  registered: Map<string, Registered>;
}

/** Runs the program of one environment to its end. */
export async function compose(
  config: StackConfig,
  options: { preview?: boolean; secrets?: () => StackSecrets } = {},
): Promise<Composed> {
  const registered = await startEngine({ preview: options.preview ?? false, outputsOf });
  const environment = new Environment("environment", {
    root: ROOT,
    project: "agent-factory",
    stack: "staging",
    config,
    secrets: (options.secrets ?? stackSecrets)(),
  });
  // Registrations run beside the program; the webhooks and the runtime config come last.
  await pulumi.runtime.disconnect();
  return { environment, registered };
}
