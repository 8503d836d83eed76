import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { FaultRelay } from "../testing/faultRelay.ts";
import { type Scene, expectConvergence } from "../testing/convergence.ts";
import { type FlyAppInputs, FlyAppProvider } from "./flyApp.ts";
import { type FlySecretsInputs, FlySecretsProvider, type FlySecretsState } from "./flySecrets.ts";

// Waiting is the platform's business, not this test's: every look follows the last one at once.
vi.mock("../platform/pause.ts", () => ({ pause: async () => undefined }));
// There is no backend here; what it says before a deletion is convexProviders.test.ts's matter.
vi.mock("./formerApp.ts", () => ({ isInUseAgain: async () => false }));

const CANARY = 'canary-of-"the"-model-key';
let fly: Fly;
let stateDir: string;
let relay: FaultRelay;
let apiUrl: string;
let count = 0;
const apps = new FlyAppProvider();
const secrets = new FlySecretsProvider();

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "infra-fly-faults-"));
  fly = await startFly({ stateDir, rateLimit: false, organizations: ["personal", "other"] });
  relay = await FaultRelay.start();
  apiUrl = relay.front(fly.url);
});

afterAll(async () => {
  delete process.env["FLY_API_TOKEN"];
  await relay.close();
  await fly.close();
  await rm(stateDir, { recursive: true, force: true });
});

beforeEach(() => {
  process.env["FLY_API_TOKEN"] = fly.orgToken;
});

async function direct(path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${fly.url}/v1${path}`, { headers: { authorization: fly.orgToken } });
  return (await answer.json()) as Record<string, unknown>;
}

function newApp(): FlyAppInputs {
  count += 1;
  return {
    apiUrl,
    name: `af-faults-${count}`,
    organization: "personal",
    network: `af-owner${count}`,
    adoptUnowned: false,
    convex: { mode: "selfHosted", url: "http://127.0.0.1:1" },
  };
}

/** The app, and how many of its name there are. */
async function appSeen(inputs: FlyAppInputs): Promise<unknown> {
  const { network, organization } = await direct(`/apps/${inputs.name}`);
  const { apps: all } = (await direct("/apps?org_slug=personal")) as { apps: Array<{ network: string }> };
  const made = all.filter((app) => app.network === inputs.network).length;
  return { ownNetwork: network === inputs.network, organization, made };
}

describe("FlyApp, with any call failing in any way", () => {
  it("is made once by the next run", async () => {
    const figures = await expectConvergence(relay, async (): Promise<Scene> => {
      const inputs = newApp();
      return { run: () => apps.create(inputs), observe: () => appSeen(inputs) };
    }, [fly.orgToken.replace("FlyV1 ", "")]);
    expect(figures).toMatchObject({ calls: 3, runs: 15 });
    expect(figures.failed).toBeGreaterThanOrEqual(6);
  });

  it("is gone after the next run of its deletion", async () => {
    const figures = await expectConvergence(relay, async (): Promise<Scene> => {
      const inputs = newApp();
      const { outs } = await apps.create(inputs);
      if (!outs) throw new Error("no state");
      return { run: () => apps.delete(inputs.name, outs), observe: () => appSeen(inputs) };
    });
    expect(figures.calls).toBe(2);
  });

  it("is read as it is by the next refresh", async () => {
    await expectConvergence(relay, async (): Promise<Scene> => {
      const inputs = newApp();
      const { outs } = await apps.create(inputs);
      let read: unknown;
      return {
        run: async () => {
          read = (await apps.read(inputs.name, outs)).props?.networkFound === inputs.network;
        },
        observe: async () => read,
      };
    });
  });
});

describe("FlySecrets, with any call failing in any way", () => {
  /** Names and values as machines would see them. */
  async function seen(appName: string): Promise<unknown> {
    const { secrets: list } = (await direct(`/apps/${appName}/secrets?show_secrets=true`)) as {
      secrets: Array<{ name: string; value: string }>;
    };
    return Object.fromEntries(list.map(({ name, value }) => [name, value]));
  }

  async function inputsOf(values: Record<string, string>): Promise<FlySecretsInputs> {
    const app = newApp();
    await apps.create(app);
    return { apiUrl, appName: app.name, values };
  }

  async function made(values: Record<string, string>): Promise<FlySecretsState> {
    const { outs } = await secrets.create(await inputsOf(values));
    if (!outs) throw new Error("no state");
    return outs;
  }

  it("are set by the next run", async () => {
    const figures = await expectConvergence(relay, async (): Promise<Scene> => {
      const inputs = await inputsOf({ OPENAI_API_KEY: CANARY, B_KEY: "b" });
      return { run: () => secrets.create(inputs), observe: () => seen(inputs.appName) };
    }, ["canary-of-"]);
    expect(figures.calls).toBe(2);
  });

  it("are changed and removed by the next run", async () => {
    await expectConvergence(relay, async (): Promise<Scene> => {
      const state = await made({ OPENAI_API_KEY: "one", OLD_KEY: "old" });
      const news = { apiUrl, appName: state.appName, values: { OPENAI_API_KEY: CANARY, NEW_KEY: "n" } };
      return { run: () => secrets.update("x", state, news), observe: () => seen(state.appName) };
    }, ["canary-of-"]);
  });

  it("are removed by the next run of their deletion", async () => {
    await expectConvergence(relay, async (): Promise<Scene> => {
      const state = await made({ OPENAI_API_KEY: "one" });
      return { run: () => secrets.delete("x", state), observe: () => seen(state.appName) };
    });
  });
});

describe("a fresh app that Fly does not show yet", () => {
  async function hide(times: number, status: 404 | 401): Promise<void> {
    const rule = { operation: "Apps_show", kind: "status", status, body: { error: "not there" }, times };
    await fetch(`${fly.url}/local/faults`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      // The first look, before the create, is to be answered truly.
      body: JSON.stringify([{ ...rule, nth: Array.from({ length: times }, (_, index) => index + 2) }]),
    });
  }

  async function uncover(): Promise<void> {
    await fetch(`${fly.url}/local/faults`, { method: "DELETE" });
  }

  it.each([404, 401] as const)("is waited for while it answers %s", async (status) => {
    relay.rest();
    await hide(5, status);
    const inputs = newApp();
    await apps.create(inputs);
    expect(relay.calls.filter((line) => line.startsWith("GET"))).toHaveLength(7);
    expect(relay.calls.filter((line) => line.startsWith("POST"))).toHaveLength(1);
    await uncover();
  });

  it("is given up after 60 looks, and adopted by the next run", async () => {
    await hide(60, 404);
    const inputs = newApp();
    await expect(apps.create(inputs)).rejects.toThrow(
      `Fly app '${inputs.name}' was created but cannot be read after 60 s. Run \`pulumi up\` again.`,
    );
    await uncover();
    await apps.create(inputs);
    expect(await appSeen(inputs)).toMatchObject({ ownNetwork: true, made: 1 });
  });
});
