import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { before, outputOf, type Registered } from "../testing/engine.ts";
import { BOT_TOKEN, compose, DIGEST, MODEL_KEY, stackConfig, stackSecrets } from "../testing/stack.ts";

/** `parent/type name` of everything. */
const listing = (registered: ReadonlyMap<string, Registered>): string[] =>
  [...registered.values()].map((one) => `${one.parent ?? "-"} > ${one.type} ${one.name}`).sort();

/** Names of everything that is no component. */
const customs = (registered: ReadonlyMap<string, Registered>): string[] =>
  [...registered.values()]
    .filter((one) => !/Plane|Backend$|Image|Environment/.test(one.type))
    .map((one) => one.name);
const without = (names: string[], ...left: string[]): string[] =>
  names.filter((name) => !left.includes(name));
const waitingFor = (registered: ReadonlyMap<string, Registered>, name: string): string[] =>
  [...registered.values()].filter((one) => one.dependsOn.includes(name)).map((one) => one.name);

describe("an environment", () => {
  it("is these resources under these parents", async () => {
    const { registered } = await compose(stackConfig());
    expect(listing(registered)).toEqual(
      [
        "- > Environment environment",
        "environment > RandomId environment-owner",
        "environment > FlyPlane fly",
        "fly > FlyApp fly-app",
        "fly > FlySecrets fly-secrets",
        "fly > FlyToken fly-token",
        "environment > ConvexBackend convex",
        "convex > RandomBytes convex-key-k1",
        "convex > RandomBytes convex-worker-token-key",
        "convex > RandomPassword convex-webhook-w1",
        "convex > ConvexEnv convex-env",
        "convex > Command convex-functions",
        "convex > BackendSecret convex-secret-convex-url",
        "convex > BackendSecret convex-secret-bot-default",
        "convex > AgentProfile convex-agent-default",
        "environment > WorkerImage image",
        "environment > RuntimeConfig runtime-config",
        "environment > TelegramWebhook telegram-webhook-default",
        "environment > RandomId environment-guard",
      ].sort(),
    );
  });

  it("names app, network and owner after the stack and its random id", async () => {
    const { registered } = await compose(stackConfig());
    expect(registered.get("fly-app")?.inputs).toMatchObject({
      name: "af-staging-01234567",
      network: "af-0123456789abcdef",
      organization: "acme",
    });
    const owner = "agent-factory/staging/0123456789abcdef";
    for (const name of ["convex-env", "runtime-config"]) {
      expect(registered.get(name)?.inputs["owner"]).toBe(owner);
    }
  });

  it("writes the runtime config, which starts the scaler, after all that scaler and workers need", async () => {
    const { registered } = await compose(stackConfig({ image: { builder: "flyRemote" } }));
    const waitedFor = before(registered, "runtime-config");
    for (const name of [
      "image-build",
      "fly-app",
      "fly-secrets",
      "fly-token",
      "convex-functions",
      "convex-env",
      "convex-secret-bot-default",
      "convex-secret-convex-url",
      "convex-agent-default",
    ]) {
      expect(waitedFor, name).toContain(name);
    }
    expect(registered.get("runtime-config")?.inputs["config"]).toMatchObject({
      provider: {
        appName: "af-staging-01234567",
        image: `registry.fly.io/af-x@sha256:${"b".repeat(64)}`,
        minSecretsVersion: 3,
      },
    });
  });

  it("lets people write last, and stops them first: webhooks wait for all, only the guard waits for them", async () => {
    const { registered } = await compose(stackConfig());
    const webhook = "telegram-webhook-default";
    expect([...before(registered, webhook)]).toEqual(
      expect.arrayContaining(without(customs(registered), webhook, "environment-guard")),
    );
    expect(waitingFor(registered, webhook)).toEqual(["environment-guard"]);
  });

  it("begins a destroy with the guard: it waits for everything, and nothing waits for it", async () => {
    const { registered } = await compose(stackConfig({ image: { builder: "flyRemote" } }));
    const others = without(customs(registered), "environment-guard");
    expect(others.length).toBeGreaterThan(10);
    expect([...before(registered, "environment-guard")]).toEqual(expect.arrayContaining(others));
    expect(waitingFor(registered, "environment-guard")).toEqual([]);
  });

  it("hands the token to the backend only when its functions and key ring are there", async () => {
    const { registered } = await compose(stackConfig());
    expect(registered.get("fly-token")?.dependsOn).toEqual(
      expect.arrayContaining(["convex-env", "convex-functions", "fly-app"]),
    );
  });

  it("takes the scaler's token before the secrets, which go with the app, and asks the backend about the app", async () => {
    const { registered } = await compose(
      stackConfig({ convex: { mode: "provisioned", projectName: "agents" } }),
    );
    expect(registered.get("fly-token")?.dependsOn).toContain("fly-secrets");
    expect(registered.get("fly-secrets")?.deletedWith).toBe("fly-app");
    // Nothing but the secrets is left to somebody else's deletion.
    const others = [...registered.values()].filter((one) => one.deletedWith !== null).map((one) => one.name);
    expect(others).toEqual(["fly-secrets"]);
    expect(before(registered, "fly-app")).toContain("convex-deployment");
  });

  it.each([true, false])(
    "protects what holds data, and the guard that a destroy meets first, when the config says %s",
    async (protect) => {
      const config = stackConfig({ protect, convex: { mode: "provisioned", projectName: "agents" } });
      const { registered } = await compose(config);
      const held = [...registered.values()].filter((one) => one.protect).map((one) => one.name);
      expect(held.sort()).toEqual(protect ? ["convex-deployment", "environment-guard", "fly-app"] : []);
      // Nothing is left behind on purpose.
      expect([...registered.values()].filter((one) => one.retainOnDelete)).toEqual([]);
    },
  );

  it("never stands two sets of functions side by side, and replaces nothing else by deleting first", async () => {
    const { registered } = await compose(stackConfig({ image: { builder: "flyRemote" } }));
    const first = [...registered.values()].filter((one) => one.deleteBeforeReplace).map((one) => one.name);
    expect(first).toEqual(["convex-functions"]);
  });
});

describe("the outputs of an environment", () => {
  it("are known after an up, and none is secret", async () => {
    const { environment } = await compose(stackConfig());
    const expected = {
      telegramWebhookUrl: "https://happy-otter-123.convex.site/agent-factory/telegram/webhook",
      convexUrl: "https://happy-otter-123.convex.cloud",
      convexSiteUrl: "https://happy-otter-123.convex.site",
      flyAppName: "af-staging-01234567",
      workerImage: DIGEST,
      runtimeConfigRevision: 7,
      owner: "agent-factory/staging/0123456789abcdef",
    } as const;
    for (const [name, value] of Object.entries(expected)) {
      const output = environment[name as keyof typeof expected];
      expect({ name, ...(await outputOf<unknown>(output)) }).toEqual({
        name,
        value,
        known: true,
        secret: false,
      });
    }
  });

  it("name every bot's webhook, the default agent's first", async () => {
    const agents = ["default", "sales"].map((agentKey) => ({ agentKey, soulFile: "agents/default.soul.md" }));
    const { environment } = await compose(stackConfig({ agents }), {
      secrets: () => stackSecrets({ sales: "901:s", default: BOT_TOKEN }),
    });
    const urls = await outputOf(environment.telegramWebhookUrls);
    expect(Object.keys(urls.value ?? {})).toEqual(["default", "sales"]);
    expect((await outputOf(environment.telegramWebhookUrl)).value).toBe(urls.value?.["default"]);
  });

  it("have no webhook without a bot", async () => {
    const { environment, registered } = await compose(stackConfig(), { secrets: () => stackSecrets({}) });
    expect((await outputOf(environment.telegramWebhookUrl)).value).toBeNull();
    expect(listing(registered).join()).not.toContain("TelegramWebhook");
  });
});

describe("secrets of an environment", () => {
  it("are marked in every input that holds one, and in the outputs that repeat it", async () => {
    const { registered } = await compose(stackConfig());
    const marks = (name: string): unknown => {
      const { secretInputs, secretOutputs } = registered.get(name) ?? {};
      return { secretInputs, secretOutputs };
    };
    expect(marks("fly-secrets")).toEqual({ secretInputs: ["values"], secretOutputs: ["values"] });
    expect(marks("convex-env")).toEqual({ secretInputs: ["variables"], secretOutputs: ["variables"] });
    expect(marks("convex-secret-bot-default")).toEqual({
      secretInputs: ["value"],
      secretOutputs: ["value"],
    });
  });

  it("are in no input that is not marked", async () => {
    const { registered } = await compose(stackConfig({ image: { builder: "docker" } }));
    for (const { name, inputs, secretInputs } of registered.values()) {
      const plain = Object.fromEntries(Object.entries(inputs).filter(([key]) => !secretInputs.includes(key)));
      const text = JSON.stringify(plain);
      for (const canary of [BOT_TOKEN, MODEL_KEY, "bytes-of-", "password-of-"]) {
        expect(text, name).not.toContain(canary);
      }
      expect(text, name).not.toMatch(/token["']?:\s*"/i);
    }
  });

  it("take no part of the platform's credentials as an input", async () => {
    process.env["FLY_API_TOKEN"] = "canary-of-fly";
    process.env["CONVEX_TEAM_TOKEN"] = "canary-of-convex";
    try {
      const { registered } = await compose(stackConfig({ image: { builder: "flyRemote" } }));
      expect(JSON.stringify([...registered.values()])).not.toMatch(/canary-of-(fly|convex)/);
    } finally {
      delete process.env["FLY_API_TOKEN"];
      delete process.env["CONVEX_TEAM_TOKEN"];
    }
  });
});

describe("a preview of a new environment", () => {
  it("registers the same resources while nothing is known yet", async () => {
    const config = stackConfig({
      image: { builder: "flyRemote" },
      convex: { mode: "provisioned", projectName: "agents" },
    });
    const known = listing((await compose(config)).registered);
    const { environment, registered } = await compose(config, { preview: true });
    expect(listing(registered)).toEqual(known);
    expect((await outputOf(environment.workerImage)).known).toBe(false);
    expect((await outputOf(environment.convexUrl)).known).toBe(false);
  });

  it("gives an agent the tools and the bridge's functions that its entry names", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "agent-factory-bridge-")), "orders.json");
    onTestFinished(() => rmSync(dirname(file), { recursive: true, force: true }));
    writeFileSync(file, '[{"key": "orders.list", "description": "d", "parameters": {"type": "object"}}]');
    const soul = { agentKey: "default", soulFile: "agents/default.soul.md" };
    const profileOf = async (more: object): Promise<unknown> => {
      const { registered } = await compose(stackConfig({ agents: [{ ...soul, ...more }] }));
      return registered.get("convex-agent-default")?.inputs["profile"];
    };
    expect(
      await profileOf({ allowTools: ["web_fetch"], bridge: { enabled: true }, bridgeFunctionsFile: file }),
    ).toMatchObject({
      toolPolicy: { allow: ["web_fetch"] },
      bridgeConfig: { enabled: true },
      bridgeFunctions: [{ key: "orders.list", description: "d", parametersJson: '{"type":"object"}' }],
    });
    expect(await profileOf({})).not.toHaveProperty("toolPolicy");
  });

  it("names the key of a profile's file that is not there", async () => {
    const config = stackConfig({ agents: [{ agentKey: "default", soulFile: "agents/none.md" }] });
    await expect(compose(config, { preview: true })).rejects.toThrow(
      "agent-factory:agents (default).soulFile: there is no file agents/none.md in the project",
    );
  });
});
