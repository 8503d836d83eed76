import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseStackConfig } from "./config.ts";
import { checkRuntimeConfig, runtimeConfigOf } from "./runtimeConfig.ts";

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

  it("refuses a misspelt key inside a section", () => {
    const result = parseStackConfig({ ...minimal, fly: { ...minimal.fly, region: ["fra"] } });
    expect(result.ok).toBe(false);
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
      if (!result.ok) throw new Error(result.problems.join("\n"));
      expect(() => checkRuntimeConfig(result.config)).not.toThrow();
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

  it("names policy, field and rule when fields contradict each other", () => {
    const contradicting = config({
      lease: { heartbeatIntervalMs: 20_000 },
      drain: { drainTimeoutMs: 89_000 },
    });
    expect(() => checkRuntimeConfig(contradicting)).toThrow(
      /policies\.lease\.heartbeatIntervalMs: must be less than a third/,
    );
    expect(() => checkRuntimeConfig(contradicting)).toThrow(
      /policies\.drain\.drainTimeoutMs: must be at least 5000 below/,
    );
  });
});
