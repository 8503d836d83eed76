import * as pulumi from "@pulumi/pulumi";
import { afterEach, describe, expect, it, vi } from "vitest";
import { loadStackConfig } from "./loadConfig.ts";

const good: Record<string, unknown> = {
  fly: { organization: "personal", regions: ["fra"] },
  convex: { mode: "existing", url: "https://happy-otter-123.convex.cloud" },
  image: { builder: "flyRemote" },
  model: { name: "openai/gpt-5-mini" },
  agents: [{ agentKey: "default", soulFile: "agents/default.soul.md" }],
  telegramBotTokens: { default: "900:canary" },
  modelKeys: { OPENAI_API_KEY: "sk-canary" },
};
const SECRETS = ["telegramBotTokens", "modelKeys"];
const CREDENTIALS = ["FLY_API_TOKEN", "CONVEX_DEPLOY_KEY"];

/** What Pulumi hands to a program: texts, JSON where somebody wrote more than a text. */
function load(
  changes: Record<string, unknown> = {},
  encrypted = SECRETS,
  files: readonly string[] = ["agents/default.soul.md"],
  texts: Record<string, string> = {},
) {
  const all = { ...good, ...changes };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  pulumi.runtime.setAllConfig(
    Object.fromEntries(
      given.map(([key, value]) => [`af:${key}`, typeof value === "string" ? value : JSON.stringify(value)]),
    ),
  );
  for (const name of CREDENTIALS) vi.stubEnv(name, "token");
  vi.stubEnv("PULUMI_CONFIG_SECRET_KEYS", JSON.stringify(encrypted.map((key) => `af:${key}`)));
  return loadStackConfig(
    (file) => texts[file] ?? (files.includes(file) ? "# Soul" : null),
    new pulumi.Config("af"),
  );
}

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    // Pulumi shows a RunError's message alone; anything else comes with a stack that hides it.
    if (pulumi.RunError.isInstance(error)) return error.message;
    throw error;
  }
  return "";
}

afterEach(() => {
  vi.unstubAllEnvs();
  pulumi.runtime.setAllConfig({});
});

describe("a stack's config, as Pulumi hands it over", () => {
  it("is read with its secrets' keys, and without a warning", () => {
    const loaded = load();
    expect(loaded.config.fly.organization).toBe("personal");
    expect(loaded.secrets.telegramAgentKeys).toEqual(["default"]);
    expect(loaded.warnings).toEqual([]);
  });

  it("has all its problems told at once: shapes, policies, files, unknown keys, secrets", () => {
    const message = messageOf(() =>
      load(
        {
          fly: "personal",
          model: { name: "gpt" },
          policies: { scaling: { maxWorkers: 0 } },
          agents: [{ agentKey: "default", soulFile: "nope.md" }],
          colour: "red",
          telegramBotTokens: "900:canary",
          modelKeys: { openai: "sk-canary" },
        },
        [],
      ),
    );
    expect(message.split("\n").slice(0, -1)).toEqual([
      "The config of this stack has 7 problem(s):",
      "  - agent-factory:fly: is one text; expected a map of keys or a list (config set --path)",
      "  - agent-factory:colour: is one text; expected a map of keys or a list (config set --path)",
      "  - agent-factory:model.name: expected <provider>/<model>, for example openai/gpt-5-mini",
      "  - agent-factory:policies.scaling.maxWorkers: must be at least 1",
      "  - agent-factory:agents[0].soulFile: there is no file nope.md in the project",
      "  - agent-factory:telegramBotTokens: is one text instead of a map; remove it (pulumi config rm 'agent-factory:telegramBotTokens') and set each with: pulumi config set --secret --path 'agent-factory:telegramBotTokens.default'",
      "  - agent-factory:modelKeys.openai: expected UPPER_CASE of at most 40 characters (set each with: pulumi config set --secret --path 'agent-factory:modelKeys.OPENAI_API_KEY')",
    ]);
    expect(message).not.toContain("canary");
  });

  it("is refused with a bridge's functions that are none, which a correct file is not", () => {
    const soul = { agentKey: "default", soulFile: "agents/default.soul.md" };
    const agents = [{ ...soul, bridge: { enabled: true, app: "shop" }, bridgeFunctionsFile: "orders.json" }];
    const message = messageOf(() =>
      load({ agents }, SECRETS, undefined, { "orders.json": '[{"key": "orders.list"}]' }),
    );
    expect(message.split("\n").slice(1, -1)).toEqual([
      "  - agent-factory:agents[0].bridge.app: unknown key; did you mean 'appKey'?",
      "  - agent-factory:agents[0].bridgeFunctionsFile: orders.json: [0].description: is missing; expected text",
      "  - agent-factory:agents[0].bridgeFunctionsFile: orders.json: [0].parameters: is missing; expected a map of keys",
    ]);
    const right = [
      { ...soul, allowTools: ["web_fetch"], bridge: { enabled: true }, bridgeFunctionsFile: "orders.json" },
    ];
    const text =
      '[{"key": "orders.list", "description": "Orders of a person", "parameters": {"type": "object"}}]';
    expect(
      load({ agents: right }, SECRETS, undefined, { "orders.json": text }).config.agents[0],
    ).toMatchObject({
      allowTools: ["web_fetch"],
    });
  });

  it("is refused with secrets in plain text, which nobody is shown", () => {
    const message = messageOf(() => load({}, ["modelKeys"]));
    expect(message).toContain("agent-factory:telegramBotTokens: is stored in plain text; set each with");
    expect(message).not.toContain("modelKeys:");
    expect(message).not.toContain("canary");
  });

  it("is warned of credentials that an up will want, all at once and by mode", () => {
    const warnings = (unset: readonly string[], convex = good["convex"]): string[] => {
      const read = (): string => "# Soul";
      load({ convex });
      for (const name of unset) vi.stubEnv(name, "");
      return loadStackConfig(read, new pulumi.Config("af")).warnings;
    };
    expect(warnings(CREDENTIALS)).toEqual([
      "FLY_API_TOKEN and CONVEX_DEPLOY_KEY not set: `pulumi up` needs them (docs/deploy.md, tokens).",
    ]);
    expect(warnings([])).toEqual([]);
    const provisioned = { mode: "provisioned", projectName: "agents" };
    expect(warnings(["CONVEX_TEAM_TOKEN"], provisioned)).toEqual([
      expect.stringMatching(/^CONVEX_TEAM_TOKEN not set/),
    ]);
  });

  it("is warned of when no worker could reach its model, or would have a skill that an agent names", () => {
    expect(load({ modelKeys: undefined }).warnings).toEqual([
      expect.stringContaining("--secret --path 'agent-factory:modelKeys.OPENAI_API_KEY'"),
    ]);
    const agents = [{ agentKey: "default", soulFile: "agents/default.soul.md", skills: ["kept", "lost"] }];
    const files = ["agents/default.soul.md", "runtime/worker/skills/kept/SKILL.md"];
    expect(load({ agents }, SECRETS, files).warnings).toEqual([
      expect.stringContaining("Agent default names the skill 'lost'"),
    ]);
    const image = { builder: "prebuilt", image: `registry.fly.io/a@sha256:${"0".repeat(64)}` };
    expect(load({ agents, image }, SECRETS, files).warnings).toEqual([]);
    const ownEndpoint = { name: "openai/x", baseUrl: "https://models.example/v1" };
    expect(load({ modelKeys: undefined, model: ownEndpoint }).warnings).toEqual([]);
  });
});
