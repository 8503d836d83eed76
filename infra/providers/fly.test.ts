import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { type FlyAppInputs, FlyAppProvider } from "./flyApp.ts";
import { FlySecretsProvider } from "./flySecrets.ts";

// Waiting is the platform's business, not this test's.
vi.mock("../platform/pause.ts", () => ({ pause: async () => undefined }));
// There is no backend here; what it says before a deletion is convexProviders.test.ts's matter.
vi.mock("./formerApp.ts", () => ({ isInUseAgain: async () => false }));

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

function app(overrides: Partial<FlyAppInputs> = {}): FlyAppInputs {
  return {
    apiUrl: fly.url,
    name: `af-test-${count}`,
    organization: "personal",
    network: `af-owner${count}`,
    adoptUnowned: false,
    convex: { mode: "selfHosted", url: "http://127.0.0.1:1" },
    ...overrides,
  };
}

async function makeByHand(state: FlyAppInputs): Promise<void> {
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
    expect(created).toMatchObject({ id: `af-test-${count}`, outs: { networkFound: `af-owner${count}` } });
    expect((await apps.read(created.id, app())).props).toMatchObject({ organization: "personal" });
    await apps.delete(created.id, app());
    expect((await apps.read(created.id, app())).id).toBe("");
  });

  it("adopts its own app when an earlier run was cut off after the call", async () => {
    await apps.create(app());
    await expect(apps.create(app())).resolves.toMatchObject({ id: `af-test-${count}` });
  });

  it("makes an app again that somebody has deleted, and tells that it is another one", async () => {
    const first = await apps.create(app());
    await fetch(`${fly.url}/v1/apps/${first.id}`, {
      method: "DELETE",
      headers: { authorization: fly.orgToken },
    });
    const second = await apps.create(app());
    expect(second.outs?.appId).toMatch(/.+/);
    expect(second.outs?.appId).not.toBe(first.outs?.appId);
    expect((await apps.read(second.id, second.outs)).id).toBe(first.id);
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
    const { outs } = await apps.create(app({ adoptUnowned: true }));
    expect(outs).toMatchObject({ networkFound: "default" });
  });

  it("keeps an app that it took over: the next `up` neither replaces it nor forgets whose it is", async () => {
    await makeByHand(app({ network: "default" }));
    const { outs } = await apps.create(app({ adoptUnowned: true }));
    if (!outs) throw new Error("no state");
    for (const adoptUnowned of [true, false]) {
      expect(await apps.diff("x", outs, app({ adoptUnowned }))).toMatchObject({ replaces: [] });
    }
    const { outs: updated } = await apps.update("x", outs, app());
    if (!updated) throw new Error("no state");
    expect((await apps.read("x", updated)).id).toBe("x");
    await apps.delete("x", updated);
    expect((await apps.read("x", updated)).id).toBe("");
  });

  it("is missing when its name carries somebody else's app by now, which no deletion touches", async () => {
    const { outs } = await apps.create(app());
    if (!outs) throw new Error("no state");
    await apps.delete("x", outs);
    await makeByHand(app({ network: "default" }));
    expect((await apps.read("x", outs)).id).toBe("");
    await expect(apps.delete("x", outs)).rejects.toThrow("was not made by this stack");
  });

  it("shows another organization as drift", async () => {
    const { outs } = await apps.create(app());
    const read = await apps.read("x", { ...app(), ...outs, organization: "former" });
    expect(read.props).toMatchObject({ organization: "personal" });
  });

  it("says that a name is taken when nobody shows who has it", async () => {
    await fetch(`${fly.url}/local/faults`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify([
        { operation: "Apps_create", kind: "status", status: 422, body: { error: "x", status: "name_taken" } },
      ]),
    });
    await expect(apps.create(app())).rejects.toThrow(
      `The Fly app name 'af-test-${count}' is taken. Set agent-factory:fly.appName to a free name.`,
    );
    await fetch(`${fly.url}/local/faults`, { method: "DELETE" });
  });

  it("names organization and token when Fly refuses to make an app there", async () => {
    await expect(apps.create(app({ organization: "other" }))).rejects.toThrow(
      `Fly refused to create app 'af-test-${count}' in organization 'other' (403). Check agent-factory:fly.organization, and that FLY_API_TOKEN is a token of that organization.`,
    );
  });

  it("refuses an import by id, and says how an existing app is taken over", async () => {
    await expect(apps.read("af-by-hand")).rejects.toThrow("agent-factory:fly.adoptUnowned");
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

  it("is replaced for another name, network or organization, and not for another endpoint", async () => {
    for (const [change, replaces] of [
      [{ name: "af-b" }, ["name"]],
      [{ name: "af-b", network: "af-new" }, ["name", "network"]],
      [{ name: "af-b", organization: "other" }, ["name", "organization"]],
    ] as const) {
      expect(await apps.diff("x", app(), app(change))).toEqual({ changes: true, replaces });
    }
    expect(await apps.diff("x", app(), app({ apiUrl: "http://127.0.0.1:9" }))).toMatchObject({
      replaces: [],
    });
    expect(await apps.diff("x", app(), app())).toMatchObject({ changes: false });
  });

  it("is not replaced under its own name, which would have to be deleted before the new one stands", async () => {
    await expect(apps.diff("x", app(), app({ network: "af-new", organization: "other" }))).rejects.toThrow(
      `Fly app 'af-test-${count}' would have to be replaced (organization 'personal' to 'other', network 'af-owner${count}' to 'af-new'), and its name cannot exist twice. Set agent-factory:fly.appName to another name as well`,
    );
  });

  it("notes another backend, also in the state of a release that did not", async () => {
    const convex = { mode: "selfHosted" as const, url: "http://127.0.0.1:2" };
    const { convex: _none, ...older } = app();
    for (const olds of [app(), older]) {
      expect(await apps.diff("x", olds, app({ convex }))).toEqual({ changes: true, replaces: [] });
    }
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
    expect(read.props?.values).toEqual({ A_KEY: "" });
    if (!read.props) throw new Error("no props");
    expect(await secrets.diff("x", read.props, { ...state, values: state.values })).toMatchObject({
      changes: true,
    });
  });

  it("removes a secret that was changed elsewhere and that the config has dropped since", async () => {
    const { outs } = await onApp({ A_KEY: "a", B_KEY: "b" });
    if (!outs) throw new Error("no state");
    await fetch(`${fly.url}/v1/apps/${outs.appName}/secrets`, {
      method: "POST",
      headers: { authorization: `Bearer ${fly.orgToken}`, "content-type": "application/json" },
      body: JSON.stringify({ values: { A_KEY: "changed" } }),
    });
    const { props } = await secrets.read("x", outs);
    if (!props) throw new Error("no props");
    await secrets.update("x", props, { ...outs, values: { B_KEY: "b" } });
    expect(await names()).toEqual(["B_KEY"]);
  });

  it("says nothing to Fly when there is none, and survives the deletion of its app", async () => {
    const inputs = { apiUrl: fly.url, appName: "af-never-made", values: {} };
    const { outs } = await secrets.create(inputs);
    expect(outs).toMatchObject({ version: 0 });
    await secrets.delete("x", { ...inputs, values: { A_KEY: "a" }, version: 1, digests: {} });
  });

  it("moves to another app by being made there first", async () => {
    const { outs } = await onApp({ A_KEY: "a" });
    if (!outs) throw new Error("no state");
    const diff = await secrets.diff("x", outs, { ...outs, appName: "af-other" });
    expect(diff).toMatchObject({ replaces: ["appName"] });
    expect(diff.deleteBeforeReplace ?? false).toBe(false);
  });

  it("says what to do when the token was revoked", async () => {
    process.env["FLY_API_TOKEN"] = "fm2_revoked";
    await expect(
      secrets.create({ apiUrl: fly.url, appName: "af-x", values: { A_KEY: "a" } }),
    ).rejects.toThrow("Fly refused FLY_API_TOKEN (401). Create a new one with `fly tokens create org`.");
  });

  it("changes nothing when nothing changed", async () => {
    const created = await onApp({ A_KEY: "a" });
    if (!created.outs) throw new Error("no state");
    const read = await secrets.read("x", created.outs);
    if (!read.props) throw new Error("no props");
    expect(await secrets.diff("x", read.props, created.outs)).toMatchObject({ changes: false });
  });
});
