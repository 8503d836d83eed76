import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { APP, BOT_TOKEN, OWNER, Planes, state, VARIABLES } from "../testing/planes.ts";
import { type Scene, expectConvergence } from "../testing/convergence.ts";
import { AgentProfileProvider } from "./agentProfile.ts";
import { BackendSecretProvider } from "./backendSecret.ts";
import { ConvexEnvProvider } from "./convexEnv.ts";
import { FlyTokenProvider } from "./flyToken.ts";
import { RuntimeConfigProvider } from "./runtimeConfig.ts";
import { TelegramWebhookProvider } from "./telegramWebhook.ts";

// Waiting is the platform's business, not this test's.
vi.mock("../platform/pause.ts", () => ({ pause: async () => undefined }));

let planes: Planes;
let count = 0;
const canaries = (): string[] => [
  BOT_TOKEN,
  "canary-of",
  planes.backend.adminKey,
  planes.fly.orgToken.replace(/^FlyV1 /, ""),
];

beforeAll(async () => {
  planes = await Planes.start();
});
afterAll(() => planes.close());

describe("ConvexEnv, with any call failing in any way", () => {
  const env = new ConvexEnvProvider();
  const inputs = (variables: Record<string, string>) => ({
    convex: planes.access,
    owner: OWNER,
    variables: { ...VARIABLES, ...variables },
  });
  const seen = async () => {
    const answer = await fetch(`${planes.backend.url}/api/v1/list_environment_variables`, {
      headers: { authorization: `Convex ${planes.backend.adminKey}` },
    });
    return ((await answer.json()) as { environmentVariables: Record<string, string> }).environmentVariables;
  };

  it("is set, rotated and removed by the next run, and others' variables stay", async () => {
    await planes.backend.setEnvironment({ BY_HAND: "stays" });
    const figures = await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => {
        const olds = state(await env.create(inputs({ OLD: "canary-of-old", ROTATED: "canary-of-1" })));
        const news = inputs({ ROTATED: "canary-of-2", ADDED: "canary-of-added" });
        return { run: () => env.update("x", olds, news), observe: seen };
      },
      canaries(),
    );
    expect(figures.calls).toBe(2);
    expect(await seen()).toMatchObject({ BY_HAND: "stays", ROTATED: "canary-of-2", FACTORY_OWNER: OWNER });
    expect(Object.keys(await seen())).not.toContain("OLD");
  });

  it("is removed by the next run of its deletion, and others' variables stay", async () => {
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await env.create(inputs({})));
      return { run: () => env.delete("x", olds), observe: seen };
    });
    const left = Object.keys(await seen());
    expect(left).toContain("BY_HAND");
    for (const name of [...Object.keys(VARIABLES), "FACTORY_OWNER"]) expect(left).not.toContain(name);
  });

  afterAll(() => planes.backend.setEnvironment({ ...VARIABLES, FACTORY_OWNER: OWNER }));
});

describe("BackendSecret, with any call failing in any way", () => {
  const secrets = new BackendSecretProvider();
  const inputs = (value: string) => ({ convex: planes.access, secretRef: `test.ref${++count}`, value });
  const seen = (secretRef: string) => async () => ({
    value: await planes.run("query", "secrets/read:reveal", { secretRef }),
    active: (await planes.backend.table("secrets")).filter((row) => row.secretRef === secretRef && row.active)
      .length,
  });

  it("has one active version of the value after the next run", async () => {
    await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => {
        const wanted = inputs("canary-of-a-secret");
        return { run: () => secrets.create(wanted), observe: seen(wanted.secretRef) };
      },
      canaries(),
    );
  });

  it("is rotated by the next run, and removed by the next run of its deletion", async () => {
    await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => {
        const olds = state(await secrets.create(inputs("one")));
        const news = { ...olds, value: "canary-of-the-second" };
        return { run: () => secrets.update("x", olds, news), observe: seen(olds.secretRef) };
      },
      canaries(),
    );
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await secrets.create(inputs("one")));
      return { run: () => secrets.delete("x", olds), observe: seen(olds.secretRef) };
    });
  });
});

describe("AgentProfile, with any call failing in any way", () => {
  const agents = new AgentProfileProvider();
  const inputs = (soulMd: string, agentKey = `agent-${++count}`) => ({
    convex: planes.access,
    profile: { agentKey, version: "1", soulMd, skills: [], secretsRef: [], enabled: true },
  });
  const seen = (agentKey: string) => async () => {
    const rows = (await planes.backend.table("agentProfiles")).filter((row) => row.agentKey === agentKey);
    return rows.map(({ soulMd, enabled, version }) => ({ soulMd, enabled, version }));
  };

  it("is made once, changed, and disabled by the next run", async () => {
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const wanted = inputs("You answer.");
      return { run: () => agents.create(wanted), observe: seen(wanted.profile.agentKey) };
    });
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await agents.create(inputs("You answer.")));
      const news = inputs("You answer briefly.", olds.profile.agentKey);
      return { run: () => agents.update("x", olds, news), observe: seen(olds.profile.agentKey) };
    });
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await agents.create(inputs("You answer.")));
      return { run: () => agents.delete("x", olds), observe: seen(olds.profile.agentKey) };
    });
  });
});

describe("FlyToken, with any call failing in any way", () => {
  const tokens = new FlyTokenProvider();
  const inputs = () => ({
    graphqlUrl: planes.graphqlUrl,
    appName: APP,
    tokenName: "agent-factory/staging scaler",
    expiryHours: 2_160,
    convex: planes.access,
  });
  /** One token, and the backend has just that one: it opens the app. */
  const seen = async () => {
    const stored = (await planes.run("query", "secrets/read:reveal", { secretRef: "fly.apiToken" })) as
      string | null;
    const opened =
      stored === null
        ? null
        : (await fetch(`${planes.fly.url}/v1/apps/${APP}`, { headers: { authorization: stored } })).status;
    return { tokens: (await planes.tokens()).map((token) => token.name), opened };
  };

  it("is one token that the backend holds after the next run, and in no error", async () => {
    const figures = await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => ({
        run: async () => {
          const olds = state(await tokens.create(inputs()));
          // In nothing that the engine keeps.
          const stored = await planes.run("query", "secrets/read:reveal", { secretRef: "fly.apiToken" });
          expect(JSON.stringify(olds)).not.toContain(String(stored).replace(/^FlyV1 /, ""));
        },
        observe: seen,
      }),
      [...canaries(), "fm2_"],
    );
    expect(figures.calls).toBeGreaterThanOrEqual(3);
    expect(await seen()).toEqual({ tokens: ["agent-factory/staging scaler"], opened: 200 });
  });

  it("is rotated by the next run: the new one is in the backend before the old one ends", async () => {
    await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => {
        const olds = state(await tokens.create(inputs()));
        return { run: () => tokens.update("x", olds, inputs()), observe: seen };
      },
      [...canaries(), "fm2_"],
    );
  });

  it("leaves the backend with a token that works at every moment of a rotation", async () => {
    const olds = state(await tokens.create(inputs()));
    for (const fault of ["reset", "error", "lost", "errorAfter"] as const) {
      for (let nth = 1; nth <= 4; nth++) {
        planes.relay.arm(nth, fault);
        await tokens.update("x", olds, inputs()).catch(() => undefined);
        planes.relay.rest();
        expect((await seen()).opened, `${fault} at call ${nth}`).toBe(200);
      }
    }
  });

  it("is revoked and forgotten by the next run of its deletion", async () => {
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await tokens.create(inputs()));
      return { run: () => tokens.delete("x", olds), observe: seen };
    });
    expect(await seen()).toEqual({ tokens: [], opened: null });
  });
});

describe("RuntimeConfig and TelegramWebhook, with any call failing in any way", () => {
  const configs = new RuntimeConfigProvider();
  const webhooks = new TelegramWebhookProvider();
  const inputs = (maxWorkers: number) => ({
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
  const row = async () => {
    const found = (await planes.backend.table("runtimeConfig")).map(({ owner, config, retiredAt }) => ({
      owner,
      maxWorkers: config.scaling.maxWorkers,
      retired: retiredAt !== undefined,
    }));
    return found;
  };
  let turns = 1;

  it("is in force after the next run, written at most once per change", async () => {
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      await configs.create(inputs(1));
      const before = (await planes.run("query", "factory:runtimeConfig")) as { revision: number };
      return {
        run: () => configs.create(inputs(2)),
        observe: async () => {
          const after = (await planes.run("query", "factory:runtimeConfig")) as { revision: number };
          return { rows: await row(), revisions: after.revision - before.revision };
        },
      };
    });
    expect(await row()).toEqual([{ owner: OWNER, maxWorkers: 2, retired: false }]);
  });

  it("points the bot at the site after the next run, and away after the next run of its deletion", async () => {
    await planes.run("action", "factory:importSecret", {
      secretRef: "telegram.botToken.default",
      plaintextValue: BOT_TOKEN,
    });
    const seen = () => planes.webhookUrl();
    await expectConvergence(
      planes.relay,
      async (): Promise<Scene> => {
        await webhooks.delete("x", state(await webhooks.create(webhook())));
        return { run: () => webhooks.create(webhook()), observe: seen };
      },
      canaries(),
    );
    expect(await seen()).toContain(planes.backend.siteUrl);
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await webhooks.create({ ...webhook(), trigger: `w1/${++turns}` }));
      return { run: () => webhooks.delete("x", olds), observe: seen };
    });
    expect(await seen()).toBe("");
  });

  it("is retired by the next run of its deletion", async () => {
    await expectConvergence(planes.relay, async (): Promise<Scene> => {
      const olds = state(await configs.create(inputs(1)));
      return { run: () => configs.delete("x", olds), observe: row };
    });
    expect(await row()).toEqual([{ owner: OWNER, maxWorkers: 1, retired: true }]);
  });
});
