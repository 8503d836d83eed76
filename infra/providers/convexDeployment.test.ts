import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { listEnvironmentVariables } from "../platform/convexApi.ts";
import { convexAdminKey, forgetAdminKey } from "../platform/convexKey.ts";
import { ConvexManagementApi, TEAM_TOKEN } from "../testing/convexManagementApi.ts";
import { FaultRelay } from "../testing/faultRelay.ts";
import { type Scene, expectConvergence } from "../testing/convergence.ts";
import { ConvexDeploymentProvider } from "./convexDeployment.ts";

// Waiting is the platform's business, not this test's.
vi.mock("../platform/pause.ts", () => ({ pause: async () => undefined }));

let management: ConvexManagementApi;
const provider = new ConvexDeploymentProvider();
const OWNER = "agent-factory/staging/0123";
const inputs = (managementUrl = management.url) => ({
  managementUrl,
  projectName: "Agents",
  reference: "staging",
  type: "prod" as const,
  region: null,
  owner: OWNER,
});

async function created(overrides: Partial<ReturnType<typeof inputs>> = {}) {
  const { id, outs } = await provider.create({ ...inputs(), ...overrides });
  if (!outs) throw new Error("no state");
  return { id, outs };
}

beforeEach(async () => {
  management = await new ConvexManagementApi().start();
  process.env["CONVEX_TEAM_TOKEN"] = TEAM_TOKEN;
});
afterEach(async () => {
  vi.useRealTimers();
  delete process.env["CONVEX_TEAM_TOKEN"];
  await management.stop();
});

describe("a provisioned Convex deployment", () => {
  it("makes a project and a deployment, and nothing twice on a re-run", async () => {
    const first = await created();
    expect(first).toMatchObject({ id: "quick-fox-1", outs: { projectId: 1, deploymentName: "quick-fox-1" } });
    expect((await created()).id).toBe(first.id);
    expect([management.projects.length, management.deployments.length]).toEqual([1, 1]);
  });

  it("derives the URL from the name when the platform does not tell it", async () => {
    management.tellsUrl = false;
    expect((await created()).outs.url).toBe("https://quick-fox-1.convex.cloud");
  });

  it("keeps environments of one project apart by their reference", async () => {
    await created();
    expect((await created({ reference: "pr-123" })).id).toBe("quick-fox-2");
    expect(management.projects).toHaveLength(1);
  });

  it("refuses a deployment that another stack has claimed, before and at its deletion", async () => {
    const { id, outs } = await created();
    management.variables[id] = { FACTORY_OWNER: "agent-factory/prod/4567" };
    const refusal = "is owned by stack 'agent-factory/prod/4567', this stack is 'agent-factory/staging/0123'";
    await expect(created()).rejects.toThrow(refusal);
    await expect(provider.delete(id, outs)).rejects.toThrow(refusal);
    expect(management.deployments).toHaveLength(1);
  });

  it("is missing after somebody deleted it, and its own deletion tolerates that", async () => {
    const { id, outs } = await created();
    expect((await provider.read(id, outs)).id).toBe(id);
    await provider.delete(id, outs);
    expect((await provider.read(id, outs)).id).toBe("");
    await expect(provider.delete(id, outs)).resolves.toBeUndefined();
  });

  it("is replaced for another project, reference, type or region, and only noted for the rest", async () => {
    const { outs } = await created();
    expect(await provider.diff("x", outs, inputs())).toEqual({ changes: false, replaces: [] });
    const moved = { ...inputs(), region: "aws-eu-west-1" };
    expect(await provider.diff("x", outs, moved as never)).toEqual({ changes: true, replaces: ["region"] });
    const elsewhere = { ...inputs(), managementUrl: "https://api.convex.dev/v1" };
    expect(await provider.diff("x", outs, elsewhere)).toEqual({ changes: true, replaces: [] });
    expect((await provider.update("x", outs, elsewhere)).outs).toMatchObject({
      deploymentName: "quick-fox-1",
      managementUrl: "https://api.convex.dev/v1",
    });
  });

  it("refuses an import by id, and says how an existing deployment is used", async () => {
    await expect(provider.read("quick-fox-1")).rejects.toThrow("agent-factory:convex.mode 'existing'");
  });

  it("says which token is missing or refused", async () => {
    process.env["CONVEX_TEAM_TOKEN"] = "expired";
    await expect(created()).rejects.toThrow("Convex refused CONVEX_TEAM_TOKEN (401) for GET /token_details.");
    delete process.env["CONVEX_TEAM_TOKEN"];
    await expect(created()).rejects.toThrow("CONVEX_TEAM_TOKEN is not set");
  });
});

describe("a provisioned deployment, with any call failing in any way", () => {
  let relay: FaultRelay;
  beforeEach(async () => {
    relay = await FaultRelay.start();
  });
  afterEach(() => relay.close());

  const seen = () => ({
    projects: management.projects.length,
    references: management.deployments.map((deployment) => deployment.reference),
  });

  /** A team of its own behind the relay. */
  async function freshTeam(): Promise<string> {
    await management.stop();
    management = await new ConvexManagementApi().start();
    return relay.front(management.url);
  }

  it("is made once by the next run, interrupted after each call", async () => {
    const figures = await expectConvergence(relay, async (): Promise<Scene> => {
      const url = await freshTeam();
      return { run: () => provider.create(inputs(url)), observe: async () => seen() };
    }, [TEAM_TOKEN]);
    expect(figures).toMatchObject({ calls: 5, runs: 25 });
    expect(figures.failed).toBeGreaterThanOrEqual(13);
  });

  it("is gone after the next run of its deletion, and its project stays", async () => {
    const figures = await expectConvergence(relay, async (): Promise<Scene> => {
      const url = await freshTeam();
      const { id, outs } = await provider.create(inputs(url));
      if (!outs) throw new Error("no state");
      return { run: () => provider.delete(id, outs), observe: async () => seen() };
    });
    expect(figures.calls).toBe(2);
  });
});

describe("the admin key of a deployment", () => {
  const access = (deploymentName = "quick-fox-1") => ({
    mode: "provisioned" as const,
    url: `${management.url}/on/${deploymentName}`,
    managementUrl: management.url,
    deploymentName,
  });

  it("is minted when it is needed, shared by the calls of an `up`, and never kept in what is stored", async () => {
    await created();
    await Promise.all([listEnvironmentVariables(access()), listEnvironmentVariables(access())]);
    await listEnvironmentVariables(access());
    expect(management.keysMinted).toBe(1);
    expect(JSON.stringify((await created()).outs)).not.toContain("minted");
  });

  it("is minted anew before it ends, and after it was refused", async () => {
    await created();
    vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
    await convexAdminKey(access());
    vi.setSystemTime(1_800_000_000_000 + 54 * 60_000);
    await convexAdminKey(access());
    expect(management.keysMinted).toBe(1);
    vi.setSystemTime(1_800_000_000_000 + 56 * 60_000);
    await convexAdminKey(access());
    expect(management.keysMinted).toBe(2);
    await expect(
      listEnvironmentVariables({ ...access(), url: `${management.url}/on/other` }),
    ).rejects.toThrow("Convex refused the key of");
    await convexAdminKey(access());
    expect(management.keysMinted).toBe(3);
    forgetAdminKey(access());
  });

  it("does not exist for a deployment that somebody deleted", async () => {
    await expect(convexAdminKey(access("long-gone-1"))).rejects.toThrow(
      "Convex deployment 'long-gone-1' does not exist. Run `pulumi refresh`, then `pulumi up`.",
    );
  });

  it("names the variable that an existing or a self-hosted deployment needs", async () => {
    await expect(convexAdminKey({ mode: "existing", url: "https://x.convex.cloud" })).rejects.toThrow(
      "CONVEX_DEPLOY_KEY is not set",
    );
    await expect(convexAdminKey({ mode: "selfHosted", url: "http://127.0.0.1:1" })).rejects.toThrow(
      "CONVEX_SELF_HOSTED_ADMIN_KEY is not set",
    );
  });
});
