import { describe, expect, test } from "vitest";
import { parseWorkerConfig } from "./config.ts";

const complete = {
  CONVEX_URL: "https://happy-animal-1.convex.cloud",
  WORKER_ID: "w-1",
  WORKER_TOKEN: "secret-token",
  OPENCLAW_DIR: "/app/node_modules/openclaw",
  OPENCLAW_AGENT_MODEL: "openai/gpt-5",
  OPENAI_API_KEY: "secret-key",
};
const problemsOf = (env: Record<string, string | undefined>): string[] => {
  const result = parseWorkerConfig(env);
  return result.ok ? [] : result.problems;
};

describe("environment", () => {
  test("defaults are filled in", () => {
    const result = parseWorkerConfig(complete);
    expect(result).toMatchObject({
      ok: true,
      config: { jobsMax: 4, drainTimeoutMs: 60_000, dataDir: "/data", metricsPort: null },
    });
  });

  test("every missing variable is named at once", () => {
    expect(problemsOf({}).sort()).toEqual([
      "CONVEX_URL is missing",
      "OPENCLAW_AGENT_MODEL is missing",
      "OPENCLAW_DIR is missing",
      "WORKER_ID is missing",
      "WORKER_TOKEN is missing",
    ]);
  });

  test("the site URL in the place of the cloud URL is refused with the one that is wanted", () => {
    const problems = problemsOf({ ...complete, CONVEX_URL: "https://happy-animal-1.convex.site" });
    expect(problems).toEqual(["CONVEX_URL must be the deployment's .convex.cloud URL, not .convex.site"]);
  });

  test("no problem repeats a value: it may be a secret in the wrong place", () => {
    const problems = problemsOf({
      ...complete,
      WORKER_JOBS: "secret-key",
      DATA_DIR: "secret-key",
      CONVEX_URL: "secret-key",
    });
    expect(problems).toHaveLength(3);
    expect(problems.join()).not.toContain("secret-key");
  });

  test.each(["0", "65", "1.5", "-1", "four"])("WORKER_JOBS=%s is refused", (value) => {
    expect(problemsOf({ ...complete, WORKER_JOBS: value })[0]).toMatch(/^WORKER_JOBS /);
  });
});

describe("telemetry", () => {
  test("is off without an endpoint; headers are pairs, URL-encoded", () => {
    expect(parseWorkerConfig(complete)).toMatchObject({ config: { otlp: null } });
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example:4318",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20secret, x-team = a",
    };
    expect(parseWorkerConfig({ ...complete, ...env })).toMatchObject({
      config: {
        otlp: {
          endpoint: "https://collector.example:4318",
          headers: { authorization: "Bearer secret", "x-team": "a" },
          serviceName: "agent-factory-worker",
        },
      },
    });
  });

  test.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }, "OTEL_EXPORTER_OTLP_ENDPOINT must be an http"],
    [{ OTEL_EXPORTER_OTLP_HEADERS: "secret-key" }, "OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs"],
    [
      { OTEL_EXPORTER_OTLP_HEADERS: "a=secret-key%0a" },
      "OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs",
    ],
    [
      { OTEL_EXPORTER_OTLP_HEADERS: "a=secret-key%zz" },
      "OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs",
    ],
  ])("%j is refused, and its value not repeated", (env, problem) => {
    const problems = problemsOf({ ...complete, ...env });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).not.toContain("secret-key");
  });
});

describe("models", () => {
  const plan = (env: Record<string, string>) => {
    const result = parseWorkerConfig({ ...complete, ...env });
    if (!result.ok) throw new Error(result.problems.join());
    return result.config.models;
  };

  test("every provider gets a neutral id: well-known ids make the engine install plugins at boot", () => {
    const models = plan({
      OPENCLAW_AGENT_MODEL: "moonshot/kimi-k2.5",
      MOONSHOT_API_KEY: "k",
      ANTHROPIC_API_KEY: "k",
      OPENCLAW_AGENT_MODEL_FALLBACKS: "anthropic/claude, moonshot/kimi-k2",
    });
    expect(models.primary).toBe("llm/kimi-k2.5");
    expect(models.fallbacks).toEqual(["llm2/claude", "llm/kimi-k2"]);
    expect(models.providers.map(({ id, api, keyVariable }) => [id, api, keyVariable])).toEqual([
      ["llm", "openai-completions", "MODEL_KEY"],
      ["llm2", "anthropic-messages", "MODEL_KEY2"],
    ]);
  });

  test("an own base URL replaces the primary provider's, and makes unknown providers usable", () => {
    const models = plan({
      OPENCLAW_AGENT_MODEL: "my-lab/m1",
      OPENCLAW_MODEL_BASE_URL: "http://lab:1/v1/",
      MY_LAB_API_KEY: "k",
    });
    expect(models.providers[0]).toMatchObject({ baseUrl: "http://lab:1/v1", key: "k" });
  });

  test("whether a model sees is known of its provider, or said", () => {
    expect(plan({}).sees).toBe(true);
    expect(plan({ OPENCLAW_MODEL_VISION: "false" }).sees).toBe(false);
    const moonshot = { OPENCLAW_AGENT_MODEL: "moonshot/kimi-k2.5", MOONSHOT_API_KEY: "k" };
    expect(plan(moonshot).sees).toBe(false);
    expect(plan({ ...moonshot, OPENCLAW_MODEL_VISION: "true" }).sees).toBe(true);
  });

  test.each([
    [{ OPENCLAW_MODEL_VISION: "maybe" }, "OPENCLAW_MODEL_VISION must be true or false"],
    [{ OPENCLAW_AGENT_MODEL: "gpt-5" }, "OPENCLAW_AGENT_MODEL must be <provider>/<model>"],
    [{ OPENCLAW_AGENT_MODEL: "moonshot/kimi" }, "MOONSHOT_API_KEY is missing"],
    [{ OPENCLAW_AGENT_MODEL: "lab/m1" }, "OPENCLAW_MODEL_BASE_URL is missing"],
    [{ OPENCLAW_MODEL_BASE_URL: "ftp://x" }, "OPENCLAW_MODEL_BASE_URL must start with"],
    [{ OPENCLAW_AGENT_MODEL_FALLBACKS: "anthropic/claude" }, "ANTHROPIC_API_KEY is missing"],
    [{ OPENCLAW_MODEL_MAX_TOKENS: "many" }, "OPENCLAW_MODEL_MAX_TOKENS must be"],
  ])("%j is refused: %s", (env, problem) => {
    expect(problemsOf({ ...complete, ...env }).some((text) => text.startsWith(problem))).toBe(true);
  });
});
