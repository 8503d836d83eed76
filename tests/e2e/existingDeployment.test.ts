/**
 * A Convex deployment that somebody made and used before a stack takes it over by URL and deploy key: data that does not
 * fit fails the `up` and leaves the old code serving; variables that are not the stack's outlive it, and so does the
 * deployment.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectRoot } from "../../local/environment/environment.ts";
import { ConvexCloud } from "./convexCloud.ts";
import { leftovers } from "./inventory.ts";
import { World } from "./world.ts";

const convex = new ConvexCloud();
let world: World;
let door: string;

/** A project and a deployment, as somebody makes them in the dashboard. @returns the deployment's URL. */
async function makeByHand(): Promise<string> {
  const post = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${convex.managementUrl}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${convex.teamToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return (await answer.json()) as Record<string, unknown>;
  };
  const { projectId } = await post("/teams/7/create_project", { projectName: "theirs" });
  const made = await post(`/projects/${String(projectId)}/create_deployment`, {
    type: "prod",
    reference: "by-hand",
  });
  return String(made["deploymentUrl"]);
}

beforeAll(async () => {
  let deployKey = "";
  world = await World.start(
    {},
    {
      stack: "existing",
      cloud: async (own) => {
        await convex.start(own.convex);
        door = await makeByHand();
        deployKey = convex.deployKey("by-hand");
        return own;
      },
      options: () => ({ env: { ...convex.env, CONVEX_TEAM_TOKEN: "", CONVEX_DEPLOY_KEY: deployKey } }),
    },
  );
  const { siteUrl } = world.environment.cloud.convex;
  world.environment.stack.configure("convex", { mode: "existing", url: door, siteUrl });
});

afterAll(async () => {
  await world?.stop();
  await convex.stop();
});

/** What the deployment's own people do, with its admin key. */
async function deployFormer(): Promise<void> {
  const { url, adminKeyFile } = world.environment.cloud.convex;
  const run = await world.environment.stack.tool(
    process.execPath,
    [join(projectRoot, "infra/backend/deploy.ts")],
    {
      cwd: join(projectRoot, "local/convex/fixtures/former"),
      env: {
        CONVEX_ACCESS: JSON.stringify({ mode: "selfHosted", url }),
        CONVEX_SELF_HOSTED_ADMIN_KEY: readFileSync(adminKeyFile, "utf8").trim(),
      },
    },
  );
  expect(run.code, run.output).toBe(0);
}

async function former(kind: "query" | "mutation", name: string): Promise<unknown> {
  const answer = await fetch(`${world.environment.cloud.convex.url}/api/${kind}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path: `former:${name}`, args: {}, format: "json" }),
  });
  return ((await answer.json()) as { value: unknown }).value;
}

describe("an existing deployment", () => {
  it("keeps its code and its data when they do not fit the schema, and the up fails with Convex's words", async () => {
    await deployFormer();
    await former("mutation", "put");
    await world.setVariable("BY_HAND", "theirs");
    const failed = await world.environment.stack.up();
    expect(failed.code).not.toBe(0);
    expect(failed.output).toContain('in table "agentProfiles" does not match the schema');
    expect(failed.output).toMatch(/missing the required field `\w+`/);
    expect(await former("query", "count")).toBe(1);
  });

  it("is taken over by the next up once its data fits, and nothing is made twice", async () => {
    await former("mutation", "clear");
    const outputs = await world.up();
    expect(outputs).toMatchObject({ convexUrl: door });
    expect(await world.variables()).toContain("BY_HAND");
    expect(convex.deployments).toHaveLength(1);
    expect(convex.unknown).toEqual([]);
    expect(await world.backend.run("factory:listAgents")).toMatchObject([{ agentKey: "default" }]);
    const quiet = await world.environment.stack.up(undefined, ["--expect-no-changes"]);
    expect(quiet.code, quiet.output).toBe(0);
  });

  it("outlives the stack, with the variables that are not the stack's", async () => {
    const destroyed = await world.environment.stack.destroy();
    expect(destroyed.code, destroyed.output).toBe(0);
    expect(await leftovers(world)).toEqual(["variable BY_HAND"]);
    expect(convex.deployments).toHaveLength(1);
  });
});
