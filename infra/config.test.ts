import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { grantableTools } from "../runtime/worker/src/agent/gatewayConfig.ts";
import { GRANTABLE_TOOLS, parseStackConfig } from "./config.ts";
import { runtimeConfigOf } from "./runtimeConfig.ts";

const minimal = {
  fly: { organization: "personal", regions: ["fra"] },
  convex: { mode: "existing", url: "https://happy-otter-123.convex.cloud" },
  image: { builder: "flyRemote" },
  model: { name: "openai/gpt-5-mini" },
  agents: [{ agentKey: "default", soulFile: "agents/default.soul.md" }],
};

describe("stack config", () => {
  it("fills in defaults", () => {
    const result = parseStackConfig(minimal);
    expect(result).toMatchObject({
      ok: true,
      config: { protect: false, rollout: { wait: true }, keys: { secretKeyIds: ["k1"] } },
    });
  });

  it("reports every problem at once, each with its key", () => {
    const result = parseStackConfig({
      ...minimal,
      fly: { organization: "", regions: [] },
      model: { name: "gpt" },
      colour: "red",
    });
    if (result.ok) throw new Error("expected problems");
    const text = result.problems.join("\n");
    for (const key of ["colour", "fly.organization", "fly.regions", "model.name"])
      expect(text).toContain(key);
  });

  const problemsWith = (changes: Record<string, unknown>): string[] => {
    const result = parseStackConfig({ ...minimal, ...changes });
    return result.ok ? [] : result.problems;
  };

  it.each<[string, Record<string, unknown>, string[]]>([
    ["a missing key", { model: {} }, ["model.name: is missing; expected text"]],
    [
      "a wrong type, without its value",
      { fly: { organization: 5, regions: "fra" } },
      ["fly.organization: expected text, got a number", "fly.regions: expected a list, got text"],
    ],
    [
      "a misspelt key with the one that was meant",
      { fly: { ...minimal.fly, region: ["fra"] }, telegram: { requireBinding: true } },
      [
        "fly.region: unknown key; did you mean 'regions'?",
        "telegram.requireBinding: unknown key; did you mean 'requireBindingForTelegram'?",
      ],
    ],
    [
      "a key of another mode with those of the chosen one",
      { convex: { ...minimal.convex, projectName: "p" } },
      ["convex.projectName: unknown key; known are mode, url, siteUrl"],
    ],
    [
      "a section that is none",
      { colour: "red" },
      [
        `colour: unknown key; known are fly, convex, image, model, agents, telegram, policies, rollout, keys, workerEnv, protect, telegramBotTokens, modelKeys`,
      ],
    ],
    [
      "values out of range",
      { fly: { ...minimal.fly, regions: ["fr"], guest: { cpus: 0, memoryMb: 1_000, cpuKind: "big" } } },
      [
        "fly.regions[0]: expected the three letters of a Fly region, for example fra",
        "fly.guest.cpuKind: must be one of shared, performance",
        "fly.guest.cpus: must be at least 1",
        "fly.guest.memoryMb: must be a multiple of 256",
      ],
    ],
    [
      "a mode that is none",
      { image: { builder: "podman" } },
      ["image.builder: must be one of flyRemote, docker, local, prebuilt"],
    ],
    [
      "policies beside the rest",
      {
        model: { name: "gpt" },
        policies: { scaling: { maxWorkers: "many", maxWorker: 1 }, lease: { leaseMs: 5_000 } },
      },
      [
        "model.name: expected <provider>/<model>, for example openai/gpt-5-mini",
        "policies.scaling.maxWorkers: expected a number, got text",
        "policies.scaling.maxWorker: unknown key; did you mean 'maxWorkers'?",
      ],
    ],
    [
      "policies that contradict each other or the machine's size, in the stack's own keys",
      {
        fly: { ...minimal.fly, guest: { memoryMb: 4_096 } },
        policies: { drain: { drainTimeoutMs: 89_000 } },
      },
      [
        "policies.drain.drainTimeoutMs: must be at least 5000 below drain.killTimeoutMs (90000), so that a drain ends before the platform kills",
        'policies.scaling.warmPool.mode: suspend needs fly.guest.memoryMb of at most 2048 (it is 4096); use "stop"',
      ],
    ],
    [
      "what two resources would share a name by",
      { agents: [minimal.agents[0], minimal.agents[0]], keys: { webhookSecretIds: ["w1", "w1"] } },
      ["agents: name an agentKey twice", "keys.webhookSecretIds: names an id twice"],
    ],
    [
      "variables that have a key of their own, and secrets in plain text",
      { workerEnv: { OPENCLAW_AGENT_MODEL: "x/y", OPENAI_API_KEY: "sk-canary", lower: "x" } },
      [
        "workerEnv.lower: expected UPPER_CASE of at most 40 characters",
        "workerEnv.OPENCLAW_AGENT_MODEL: is set by model.name",
        "workerEnv.OPENAI_API_KEY: is a secret, and workerEnv is plain text: set modelKeys.OPENAI_API_KEY with --secret",
      ],
    ],
  ])("names %s", (_what, changes, problems) => {
    expect(problemsWith(changes)).toEqual(problems);
  });

  it("lets an agent be allowed just the tools that a worker grants", () => {
    expect(GRANTABLE_TOOLS).toEqual(grantableTools);
    const problems = problemsWith({ agents: [{ ...minimal.agents[0], allowTools: ["shell"] }] });
    expect(problems).toEqual([`agents[0].allowTools[0]: must be one of ${grantableTools.join(", ")}`]);
  });

  it("takes numbers as text where `pulumi config set --path` writes them as what they look like", () => {
    const agents = [{ ...minimal.agents[0], version: 2 }];
    const workerEnv = { WORKER_METRICS_PORT: 9_464, VERBOSE: true };
    expect(parseStackConfig({ ...minimal, agents, workerEnv })).toMatchObject({
      config: { agents: [{ version: "2" }], workerEnv: { WORKER_METRICS_PORT: "9464", VERBOSE: "true" } },
    });
  });

  it("refuses plain http endpoints except on loopback", () => {
    const at = (apiUrl: string) => parseStackConfig({ ...minimal, fly: { ...minimal.fly, apiUrl } }).ok;
    expect(at("http://api.example.com")).toBe(false);
    expect(at("http://127.0.0.1:4000")).toBe(true);
    expect(at("https://api.example.com")).toBe(true);
  });

  it.each(["local", "staging", "prod"])(
    "accepts the committed Pulumi.%s.yaml, policies included",
    (stack) => {
      const file = parse(readFileSync(new URL(`../Pulumi.${stack}.yaml`, import.meta.url), "utf8")) as {
        config: Record<string, unknown>;
      };
      const values = Object.fromEntries(
        Object.entries(file.config).map(([key, value]) => [key.replace("agent-factory:", ""), value]),
      );
      const result = parseStackConfig(values);
      expect(result).toMatchObject({ ok: true });
    },
  );
});

describe("runtime config of a stack", () => {
  const config = (policies: object) => {
    const result = parseStackConfig({ ...minimal, policies });
    if (!result.ok) throw new Error(result.problems.join("\n"));
    return result.config;
  };
  const deployed = { appName: "af-x", image: `r/af-x@sha256:${"a".repeat(64)}`, minSecretsVersion: 3 };

  it("carries image, secrets version and model", () => {
    expect(runtimeConfigOf(config({}), deployed)).toMatchObject({
      provider: {
        image: deployed.image,
        minSecretsVersion: 3,
        env: { OPENCLAW_AGENT_MODEL: "openai/gpt-5-mini" },
      },
    });
  });
});
