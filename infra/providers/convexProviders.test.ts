import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { APP, BOT_TOKEN, OWNER, Planes, state, VARIABLES } from "../testing/planes.ts";
import { AgentProfileProvider } from "./agentProfile.ts";
import { BackendSecretProvider } from "./backendSecret.ts";
import { ConvexEnvProvider } from "./convexEnv.ts";
import { FlyAppProvider } from "./flyApp.ts";
import { FlySecretsProvider } from "./flySecrets.ts";
import { FlyTokenProvider } from "./flyToken.ts";
import { RuntimeConfigProvider } from "./runtimeConfig.ts";
import { TelegramWebhookProvider } from "./telegramWebhook.ts";

let planes: Planes;

beforeAll(async () => {
  planes = await Planes.start();
});
afterAll(() => planes.close());

describe("ConvexEnv", () => {
  const env = new ConvexEnvProvider();
  const inputs = (variables: Record<string, string> = {}) => ({
    convex: planes.access,
    owner: OWNER,
    variables: { ...VARIABLES, ...variables },
  });

  it("shows what was changed and removed by hand, and the next `up` writes it again", async () => {
    const olds = state(await env.create(inputs({ A: "1", B: "2" })));
    expect(await env.diff("x", olds, inputs({ A: "1", B: "2" }))).toEqual({ changes: false, replaces: [] });
    await planes.backend.setEnvironment({ A: "by hand", B: null as never });
    const read = state(await env.read("x", olds));
    expect(read.variables).toEqual({ ...VARIABLES, A: "by hand" });
    expect(await env.diff("x", read, inputs({ A: "1", B: "2" }))).toEqual({ changes: true, replaces: [] });
    await env.update("x", read, inputs({ A: "1", B: "2" }));
    expect(state(await env.read("x", olds)).variables).toEqual({ ...VARIABLES, A: "1", B: "2" });
  });

  it("refuses a deployment that another stack has claimed, and takes nothing from it", async () => {
    const olds = state(await env.create(inputs()));
    const stranger = { ...inputs(), owner: "agent-factory/prod/4567" };
    const refusal = `is owned by stack '${OWNER}', this stack is 'agent-factory/prod/4567'`;
    await expect(env.create(stranger)).rejects.toThrow(refusal);
    await expect(env.delete("x", { ...olds, owner: stranger.owner })).rejects.toThrow(refusal);
    expect(state(await env.read("x", olds)).owner).toBe(OWNER);
  });

  it("is made anew in another deployment, and only noted for another way to the same one", async () => {
    const olds = state(await env.create(inputs()));
    const moved = { ...inputs(), convex: { ...planes.access, url: "https://other.convex.cloud" } };
    expect(await env.diff("x", olds, moved)).toEqual({ changes: true, replaces: ["convex"] });
    const noted = { ...inputs(), convex: { ...planes.access, mode: "existing" as const } };
    expect(await env.diff("x", olds, noted)).toEqual({ changes: true, replaces: [] });
  });
});

describe("BackendSecret", () => {
  const secrets = new BackendSecretProvider();
  const inputs = (value: string, secretRef = "test.crud") => ({ convex: planes.access, secretRef, value });

  it("shows that somebody else imported or removed it", async () => {
    const olds = state(await secrets.create(inputs("one")));
    expect(state(await secrets.read("x", olds))).toEqual(olds);
    await planes.run("action", "factory:importSecret", { secretRef: "test.crud", plaintextValue: "two" });
    const read = state(await secrets.read("x", olds));
    expect(read).toMatchObject({ value: "", version: olds.version + 1 });
    expect(await secrets.diff("x", read, inputs("one"))).toMatchObject({ changes: true, replaces: [] });
    await planes.run("mutation", "factory:removeSecret", { secretRef: "test.crud" });
    expect((await secrets.read("x", olds)).id).toBe("");
  });

  it("gets a new version for a new value alone", async () => {
    const olds = state(await secrets.create(inputs("one")));
    const same = state(await secrets.update("x", olds, inputs("one")));
    expect(same.version).toBe(olds.version);
    expect(state(await secrets.update("x", olds, inputs("two"))).version).toBe(olds.version + 1);
    expect(await secrets.diff("x", olds, inputs("one", "test.other"))).toMatchObject({
      replaces: ["secretRef"],
    });
  });

  it("cannot be read after its deletion, which may be repeated", async () => {
    const olds = state(await secrets.create(inputs("one")));
    await secrets.delete("x", olds);
    await secrets.delete("x", olds);
    expect(await planes.run("query", "secrets/read:reveal", { secretRef: "test.crud" })).toBeNull();
  });
});

describe("AgentProfile", () => {
  const agents = new AgentProfileProvider();
  const bridge = (baseUrl: string) => ({ enabled: true, baseUrl, serviceId: "s", appKey: "a" });
  const inputs = (overrides: Record<string, unknown> = {}) => ({
    convex: planes.access,
    profile: {
      agentKey: "crud",
      version: "1",
      soulMd: "You answer.",
      skills: [],
      secretsRef: [],
      enabled: true,
      ...overrides,
    },
  });

  it("shows that somebody else changed it, and is written again", async () => {
    const olds = state(await agents.create(inputs()));
    expect(state(await agents.read("x", olds))).toEqual(olds);
    await planes.run("mutation", "factory:setAgentEnabled", { agentKey: "crud", enabled: false });
    const read = state(await agents.read("x", olds));
    expect(read.profile.enabled).toBe(false);
    expect(await agents.diff("x", read, inputs())).toMatchObject({ changes: true, replaces: [] });
    const updated = state(await agents.update("x", read, inputs()));
    expect(state(await agents.read("x", updated)).profile).toEqual(inputs().profile);
  });

  it("notices a change at any depth of its bridge, and none in another order of keys", async () => {
    const olds = { ...inputs({ bridgeConfig: bridge("https://a.example") }), revision: 1 };
    const diff = async (bridgeConfig: object) =>
      (await agents.diff("x", olds, inputs({ bridgeConfig }))).changes;
    expect(await diff(bridge("https://b.example"))).toBe(true);
    const { baseUrl, ...rest } = bridge("https://a.example");
    expect(await diff({ baseUrl, ...rest })).toBe(false);
  });

  it("is missing where it never was, and disabled when it is deleted, history kept", async () => {
    const olds = state(await agents.create(inputs()));
    const elsewhere = { ...olds, profile: { ...olds.profile, agentKey: "nobody" } };
    expect((await agents.read("x", elsewhere)).id).toBe("");
    await agents.delete("x", elsewhere);
    await agents.delete("x", olds);
    const listed = (await planes.run("query", "factory:listAgents")) as Array<{
      agentKey: string;
      enabled: boolean;
    }>;
    expect(listed.find((agent) => agent.agentKey === "crud")).toMatchObject({ enabled: false });
  });
});

describe("FlyToken", () => {
  const apps = new FlyAppProvider();
  const appSecrets = new FlySecretsProvider();
  const tokens = new FlyTokenProvider();
  const inputs = (overrides: Record<string, unknown> = {}) => ({
    graphqlUrl: planes.graphqlUrl,
    appName: APP,
    tokenName: "agent-factory/staging scaler",
    expiryHours: 30,
    convex: planes.access,
    ...overrides,
  });
  const revealed = () => planes.run("query", "secrets/read:reveal", { secretRef: "fly.apiToken" });

  it("is rotated by the first `up` after two thirds of its life, and imported into the backend", async () => {
    const now = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now });
    try {
      const olds = state(await tokens.create(inputs()));
      const first = await revealed();
      vi.setSystemTime(now + 20 * 3_600_000 - 1);
      expect(await tokens.diff("x", olds, inputs())).toEqual({ changes: false, replaces: [] });
      vi.setSystemTime(now + 20 * 3_600_000 + 1);
      expect(await tokens.diff("x", olds, inputs())).toEqual({ changes: true, replaces: [] });
      const news = state(await tokens.update("x", olds, inputs()));
      expect(news.tokenId).not.toBe(olds.tokenId);
      expect((await planes.tokens()).map((token) => token.id)).toEqual([news.tokenId]);
      expect(await revealed()).not.toBe(first);
      expect(await tokens.diff("x", news, inputs())).toEqual({ changes: false, replaces: [] });
      // One that has ended is as good as gone.
      vi.setSystemTime(now + 60 * 3_600_000);
      expect((await tokens.read("x", news)).id).toBe("");
    } finally {
      vi.useRealTimers();
    }
  });

  it("is missing once it was revoked, and minted again when the backend holds another", async () => {
    const olds = state(await tokens.create(inputs()));
    expect(state(await tokens.read("x", olds))).toEqual(olds);
    await planes.run("action", "factory:importSecret", {
      secretRef: "fly.apiToken",
      plaintextValue: "by hand",
    });
    const read = state(await tokens.read("x", olds));
    expect(await tokens.diff("x", read, inputs())).toEqual({ changes: true, replaces: [] });
    await tokens.delete("x", olds);
    expect((await tokens.read("x", olds)).id).toBe("");
    // What somebody else imported is theirs.
    expect(await revealed()).toBe("by hand");
  });

  /** The config in force names the app. What came before it was retired, so that no rollout leads back. */
  async function putInForce(appName: string): Promise<void> {
    await planes.run("mutation", "factory:retireRuntimeConfig", { owner: OWNER, actor: "pulumi" });
    const { provider, ...config } = planes.runtimeConfig() as { provider: object };
    await planes.run("mutation", "factory:applyRuntimeConfig", {
      config: {
        ...config,
        provider: { ...provider, appName, image: `registry.fly.io/${appName}@sha256:${"0".repeat(64)}` },
      },
      expectedRevision: (await planes.run("query", "factory:runtimeConfig"))?.revision ?? null,
      owner: OWNER,
      actor: "pulumi",
    });
  }
  const opened = async (name: string) =>
    (await fetch(`${planes.fly.url}/v1/apps/${name}`, { headers: { authorization: await revealed() } }))
      .status;

  it("is replaced by hand, as the runbook says, without taking the new one away from the scaler", async () => {
    await putInForce(APP);
    const olds = state(await tokens.create(inputs()));
    // The engine's order: the new one is made, then the old one deleted.
    const news = state(await tokens.create(inputs()));
    await tokens.delete("x", olds);
    expect((await planes.tokens()).map((token) => token.id)).toEqual([news.tokenId]);
    expect(await opened(APP)).toBe(200);
    await tokens.delete("x", news);
    expect(await revealed()).toBeNull();
  });

  it("moves with its app, in the engine's order: the new one is complete before anything old goes", async () => {
    const app = (name: string) => planes.app(name);
    const secretsOf = (appName: string) => ({ apiUrl: planes.fly.url, appName, values: { A_KEY: "a" } });
    const former = {
      app: state(await apps.create(app(APP))),
      secrets: state(await appSecrets.create(secretsOf(APP))),
      token: state(await tokens.create(inputs())),
    };
    const renamed = inputs({ appName: "af-second" });
    for (const diff of [
      await apps.diff("x", former.app, app("af-second")),
      await appSecrets.diff("x", former.secrets, secretsOf("af-second")),
      await tokens.diff("x", former.token, renamed),
    ]) {
      expect(diff.replaces).toHaveLength(1);
      expect(diff.deleteBeforeReplace ?? false).toBe(false);
    }
    await apps.create(app("af-second"));
    await appSecrets.create(secretsOf("af-second"));
    const token = state(await tokens.create(renamed));
    // From here on the runtime config may name the new app: the backend's token opens it, and not the old one.
    expect([await opened("af-second"), await opened(APP)]).toEqual([200, 403]);
    await putInForce(APP);
    await expect(tokens.delete("x", former.token)).rejects.toThrow(
      `Fly app '${APP}' is kept with all its workers: a rollout to another app was rolled back to it.`,
    );
    await putInForce("af-second");
    // As a refresh leaves it, after an engine that was killed before it came to the deletions.
    await tokens.delete("x", state(await tokens.read("x", former.token)));
    await appSecrets.delete("x", former.secrets);
    await apps.delete("x", former.app);
    expect(await opened("af-second")).toBe(200);
    expect((await planes.tokens("af-second")).map(({ id }) => id)).toEqual([token.tokenId]);
    expect((await apps.read("x", former.app)).id).toBe("");
    await apps.create(app(APP));
  });

  it("comes back to an app whose deletion is still to be made: the app and its new token are spared", async () => {
    await putInForce(APP);
    const former = {
      app: state(await apps.create(planes.app(APP))),
      token: state(await tokens.create(inputs())),
    };
    // The move failed, and the config names the former app again before anything was deleted.
    const again = state(await tokens.create(inputs()));
    await tokens.delete("x", former.token);
    await apps.delete("x", former.app);
    expect(await opened(APP)).toBe(200);
    expect((await planes.tokens()).map(({ id }) => id)).toEqual([again.tokenId]);
    // A destroy takes both.
    await planes.run("mutation", "factory:retireRuntimeConfig", { owner: OWNER, actor: "pulumi" });
    await tokens.delete("x", again);
    await apps.delete("x", former.app);
    expect((await apps.read("x", former.app)).id).toBe("");
    await apps.create(planes.app(APP));
  });

  it("says which credential was refused, and which app is not there", async () => {
    process.env["FLY_API_TOKEN"] = "FlyV1 fm2_revoked";
    await expect(tokens.create(inputs())).rejects.toThrow(
      "Fly refused FLY_API_TOKEN (401). Create a new one with `fly tokens create org`.",
    );
    process.env["FLY_API_TOKEN"] = planes.fly.orgToken;
    await expect(tokens.create(inputs({ appName: "af-none" }))).rejects.toThrow(
      "Fly app 'af-none' cannot be read. Run `pulumi refresh`, then `pulumi up`.",
    );
  });
});

describe("RuntimeConfig and TelegramWebhook", () => {
  const configs = new RuntimeConfigProvider();
  const webhooks = new TelegramWebhookProvider();
  const config = (maxWorkers: number) => ({
    convex: planes.access,
    owner: OWNER,
    config: planes.runtimeConfig({ scaling: { minWorkers: 0, maxWorkers } }),
    waitForRollout: true,
    rolloutTimeoutSeconds: 30,
  });
  const webhook = () => ({
    convex: planes.access,
    siteUrl: planes.backend.siteUrl,
    agentKey: "default",
    secretRef: "telegram.botToken.default",
    trigger: "w1/1",
  });

  it("shows a config that somebody else wrote, and writes its own again", async () => {
    const olds = state(await configs.create(config(1)));
    expect(state(await configs.read("x", olds))).toEqual(olds);
    await configs.update("x", olds, config(3));
    const read = state(await configs.read("x", olds));
    expect(read).toMatchObject({ revision: olds.revision + 1, config: { scaling: { maxWorkers: 3 } } });
    expect(await configs.diff("x", read, config(1))).toEqual({ changes: true, replaces: [] });
    expect(await configs.diff("x", read, config(3))).toEqual({ changes: false, replaces: [] });
    const stranger = { ...config(2), owner: "agent-factory/prod/4567" };
    await expect(configs.create(stranger)).rejects.toThrow(
      `This deployment belongs to stack '${OWNER}'; stack 'agent-factory/prod/4567' may not write its runtime config.`,
    );
  });

  it("shows a webhook that was pointed elsewhere, or whose secret is another one now", async () => {
    await planes.run("action", "factory:importSecret", {
      secretRef: "telegram.botToken.default",
      plaintextValue: BOT_TOKEN,
    });
    const olds = state(await webhooks.create(webhook()));
    expect(state(await webhooks.read("x", olds))).toEqual(olds);
    await fetch(`${planes.telegramUrl}/bot${BOT_TOKEN}/deleteWebhook`);
    const read = state(await webhooks.read("x", olds));
    expect(read.webhookUrl).toBe("");
    expect(await webhooks.diff("x", read, webhook())).toEqual({ changes: true, replaces: [] });
    const again = state(await webhooks.update("x", read, webhook()));
    await planes.backend.setEnvironment({
      TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: "another-secret-of-the-webhooks", previous: null }),
    });
    const rotated = state(await webhooks.read("x", again));
    expect(rotated.drift.join()).toContain("the webhook secret changed");
    expect(await webhooks.diff("x", rotated, webhook())).toEqual({ changes: true, replaces: [] });
  });

  it("is set again for another trigger or site, and made anew for another agent", async () => {
    const olds = state(await webhooks.create(webhook()));
    const diff = (overrides: object) => webhooks.diff("x", olds, { ...webhook(), ...overrides });
    expect(await diff({})).toEqual({ changes: false, replaces: [] });
    expect(await diff({ trigger: "w1,w2/1" })).toEqual({ changes: true, replaces: [] });
    expect(await diff({ siteUrl: "https://other.convex.site" })).toEqual({ changes: true, replaces: [] });
    expect(await diff({ agentKey: "sales" })).toEqual({ changes: true, replaces: ["agentKey"] });
  });
});
