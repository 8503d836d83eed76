/**
 * Staging and prod from their committed configs, side by side on one Fly: prod runs staging's image without a build, no
 * secret is in either's state, prod is destroyed only when its config allows it, and nothing of either is left.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Committed, startCommitted } from "./committed.ts";
import { type Inventory, inventoryOf, leftovers } from "./inventory.ts";
import type { World } from "./world.ts";

/** Pulumi's own words, which docs/deploy.md answers. */
const PROTECTED = "cannot be deleted because it is protected";

/** Without components, which exist in the state alone: the engine drops one that has no children before it refuses. */
const standing = (inventory: Inventory): Inventory => ({
  ...inventory,
  resources: inventory.resources.filter((urn) => !/agent-factory:index:\w+::/.test(urn)),
});

let staging: Committed;
let prod: Committed;
let first: World;
let second: World;
let outputs: { staging: Record<string, unknown>; prod: Record<string, unknown> };

beforeAll(async () => {
  staging = await startCommitted("staging");
  first = staging.world;
  prod = await startCommitted("prod", { fly: first.environment.cloud.fly });
  second = prod.world;
  const up = await first.up();
  const pinned = await prod.pin(String(up["workerImage"]));
  if (pinned.code !== 0) throw new Error(pinned.output);
  outputs = { staging: up, prod: await second.up() };
});

afterAll(async () => {
  // Prod's machines run on staging's Fly, which goes last.
  await prod?.stop();
  await staging?.stop();
});

describe("staging and prod on one Fly", () => {
  it("run as their committed configs say, prod on staging's digest without a build", async () => {
    const digest = (image: unknown): string => String(image).split("@")[1] ?? "";
    expect(digest(outputs.prod["workerImage"])).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(digest(outputs.prod["workerImage"])).toBe(digest(outputs.staging["workerImage"]));
    expect(staging.builds()).toEqual([expect.stringMatching(`^${first.app}:[0-9a-f]{64}$`)]);
    expect(prod.builds()).toEqual([]);
    expect([...staging.convex.unknown, ...prod.convex.unknown]).toEqual([]);
    expect(staging.convex.projects).toMatchObject([{ name: "agent-factory-staging" }]);
    expect(prod.convex.deployments).toMatchObject([
      { reference: "prod", deploymentType: "prod", region: "aws-eu-west-1" },
    ]);
    const inForce = await second.backend.run("factory:runtimeConfig");
    expect(inForce).toMatchObject({
      config: {
        provider: {
          regions: ["fra", "ams", "cdg", "lhr"],
          env: { OPENCLAW_AGENT_MODEL: "openai/gpt-5-mini" },
        },
        scaling: { maxWorkers: 20 },
        spend: { machineHoursPerDayMax: 240 },
        telegram: { requireBindingForTelegram: true },
      },
    });
  });

  it("keep every kind of secret out of their exported state", async () => {
    for (const { world, convex } of [staging, prod]) {
      const { stack } = world.environment;
      const exported = await stack.run(["stack", "export", "--stack", stack.name]);
      expect(exported.output).toContain(world.app);
      const planted = { ...world.secrets(), "team token": convex.teamToken, ...(await world.made()) };
      for (const [name, secret] of Object.entries(planted)) {
        expect(exported.output.includes(secret), `${name} in ${stack.name}'s state`).toBe(false);
      }
      expect(exported.output).not.toMatch(/FlyV1 fm|fm[12]_[A-Za-z0-9]{8}|prod:quick-fox-\d+\|/);
    }
  });

  it("refuse to destroy prod before anything is touched, until its config says so", async () => {
    const before = await inventoryOf(second);
    const refused = await second.environment.stack.destroy();
    expect(refused.code).not.toBe(0);
    const said = refused.output.replaceAll(/\s+/g, " ");
    expect(said).toContain(PROTECTED);
    expect(said).toMatch(/environment-guard" cannot be deleted/);
    expect(standing(await inventoryOf(second))).toEqual(standing(before));
    expect(before).toMatchObject({
      webhook: "<site>/agent-factory/telegram/webhook",
      tokens: [expect.stringContaining("prod")],
      pending: [],
    });
    expect(prod.convex.deployments).toHaveLength(1);
  });

  it("leave nothing behind when both are destroyed at once", async () => {
    // As docs/deploy.md says.
    second.environment.stack.configure("protect", false);
    const allowed = await second.up();
    expect(allowed["flyAppName"]).toBe(second.app);
    const runs = await Promise.all([first, second].map((world) => world.environment.stack.destroy()));
    for (const run of runs) expect(run.code, run.output).toBe(0);
    expect(await first.fly("GET", "/v1/apps?org_slug=personal")).toMatchObject({ apps: [] });
    for (const { world, convex } of [staging, prod]) {
      expect(await leftovers(world)).toEqual([]);
      expect(convex.deployments).toEqual([]);
    }
  });
});
