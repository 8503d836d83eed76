import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { FlyAppProvider, type FlyAppState } from "./flyApp.ts";
import { FlySecretsProvider } from "./flySecrets.ts";

let fly: Fly;
let stateDir: string;
let count = 0;
const apps = new FlyAppProvider();
const secrets = new FlySecretsProvider();

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "infra-fly-"));
  fly = await startFly({ stateDir, rateLimit: false, organizations: ["personal", "other"] });
  process.env["FLY_API_TOKEN"] = fly.orgToken;
});

afterAll(async () => {
  delete process.env["FLY_API_TOKEN"];
  await fly.close();
  await rm(stateDir, { recursive: true, force: true });
});

beforeEach(() => {
  count += 1;
  process.env["FLY_API_TOKEN"] = fly.orgToken;
});

function app(overrides: Partial<FlyAppState> = {}): FlyAppState {
  return {
    apiUrl: fly.url,
    name: `af-test-${count}`,
    organization: "personal",
    network: `af-owner${count}`,
    adoptUnowned: false,
    ...overrides,
  };
}

async function makeByHand(state: FlyAppState): Promise<void> {
  const answer = await fetch(`${fly.url}/v1/apps`, {
    method: "POST",
    headers: {
      authorization: fly.orgTokens[state.organization] ?? fly.orgToken,
      "content-type": "application/json",
    },
    body: JSON.stringify({ name: state.name, org_slug: state.organization, network: state.network }),
  });
  expect(answer.status).toBe(201);
}

describe("FlyApp", () => {
  it("creates, reads, and deletes an app on its own network", async () => {
    const created = await apps.create(app());
    expect(created).toMatchObject({ id: `af-test-${count}`, outs: { network: `af-owner${count}` } });
    expect((await apps.read(created.id, app())).props).toMatchObject({ network: `af-owner${count}` });
    await apps.delete(created.id, app());
    expect((await apps.read(created.id, app())).id).toBe("");
  });

  it("adopts its own app when an earlier run was cut off after the call", async () => {
    await apps.create(app());
    await expect(apps.create(app())).resolves.toMatchObject({ id: `af-test-${count}` });
  });

  it("deletes an app that is already gone", async () => {
    await expect(apps.delete(`af-test-${count}`, app())).resolves.toBeUndefined();
  });

  it("refuses an app of another deployment, on create and on delete", async () => {
    await makeByHand(app({ network: "af-somebodyelse" }));
    await expect(apps.create(app())).rejects.toThrow(
      `Fly app 'af-test-${count}' is owned by another deployment (network 'af-somebodyelse', expected 'af-owner${count}')`,
    );
    await expect(apps.create(app({ adoptUnowned: true }))).rejects.toThrow("owned by another deployment");
    await expect(apps.delete(`af-test-${count}`, app())).rejects.toThrow("owned by another deployment");
  });

  it("takes over an app without an owner only when told to", async () => {
    await makeByHand(app({ network: "default" }));
    await expect(apps.create(app())).rejects.toThrow("set agent-factory:fly.adoptUnowned to true");
    await expect(apps.create(app({ adoptUnowned: true }))).resolves.toMatchObject({
      outs: { network: "default" },
    });
  });

  it("says which organization holds the name", async () => {
    await makeByHand(app({ organization: "other" }));
    await expect(apps.create(app())).rejects.toThrow(
      "exists in another organization. Set agent-factory:fly.appName to a free name.",
    );
  });

  it("says what to do when the token is refused or missing", async () => {
    process.env["FLY_API_TOKEN"] = "fm2_wrong";
    await expect(apps.create(app())).rejects.toThrow("Create a new one with `fly tokens create org`");
    delete process.env["FLY_API_TOKEN"];
    await expect(apps.create(app())).rejects.toThrow("FLY_API_TOKEN is not set");
  });

  it("is replaced for another network, and not for another endpoint", async () => {
    const other = await apps.diff("x", app(), app({ network: "af-new" }));
    expect(other).toMatchObject({ changes: true, replaces: ["network"], deleteBeforeReplace: true });
    expect(await apps.diff("x", app(), app({ name: "af-b" }))).toMatchObject({ deleteBeforeReplace: false });
    expect(await apps.diff("x", app(), app({ apiUrl: "http://127.0.0.1:9" }))).toMatchObject({
      replaces: [],
    });
    expect(await apps.diff("x", app(), app())).toMatchObject({ changes: false });
  });
});

describe("FlySecrets", () => {
  async function onApp(values: Record<string, string>) {
    await apps.create(app());
    return secrets.create({ apiUrl: fly.url, appName: `af-test-${count}`, values });
  }

  async function names(): Promise<string[]> {
    const answer = await fetch(`${fly.url}/v1/apps/af-test-${count}/secrets`, {
      headers: { authorization: `Bearer ${fly.orgToken}` },
    });
    const body = (await answer.json()) as { secrets: Array<{ name: string }> };
    return body.secrets.map((secret) => secret.name).sort();
  }

  it("sets, changes and removes in one version each, and leaves others' secrets alone", async () => {
    const created = await onApp({ OPENAI_API_KEY: "one", OLD_KEY: "old" });
    const state = created.outs;
    if (!state) throw new Error("no state");
    await fetch(`${fly.url}/v1/apps/af-test-${count}/secrets/BY_HAND`, {
      method: "POST",
      headers: { authorization: `Bearer ${fly.orgToken}`, "content-type": "application/json" },
      body: JSON.stringify({ value: "x" }),
    });
    const news = { apiUrl: fly.url, appName: state.appName, values: { OPENAI_API_KEY: "two" } };
    expect(await secrets.diff("x", state, news)).toMatchObject({ changes: true, replaces: [] });
    const updated = await secrets.update("x", state, news);
    expect(updated.outs?.version).toBeGreaterThan(state.version);
    expect(await names()).toEqual(["BY_HAND", "OPENAI_API_KEY"]);
    await secrets.delete("x", { ...news, version: 0, digests: {} });
    expect(await names()).toEqual(["BY_HAND"]);
  });

  it("notices a secret that was changed or removed elsewhere", async () => {
    const created = await onApp({ A_KEY: "a", B_KEY: "b" });
    const state = created.outs;
    if (!state) throw new Error("no state");
    await fetch(`${fly.url}/v1/apps/${state.appName}/secrets`, {
      method: "POST",
      headers: { authorization: `Bearer ${fly.orgToken}`, "content-type": "application/json" },
      body: JSON.stringify({ values: { A_KEY: "changed", B_KEY: null } }),
    });
    const read = await secrets.read("x", state);
    expect(read.props?.values).toEqual({});
    if (!read.props) throw new Error("no props");
    expect(await secrets.diff("x", read.props, { ...state, values: state.values })).toMatchObject({
      changes: true,
    });
  });

  it("changes nothing when nothing changed", async () => {
    const created = await onApp({ A_KEY: "a" });
    if (!created.outs) throw new Error("no state");
    const read = await secrets.read("x", created.outs);
    if (!read.props) throw new Error("no props");
    expect(await secrets.diff("x", read.props, created.outs)).toMatchObject({ changes: false });
  });
});
