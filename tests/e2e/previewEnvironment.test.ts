/** A pull request's environment: made from the config that the workflow copies, without a bot, and torn down by its script. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectRoot } from "../../local/environment/environment.ts";
import type { PulumiRun } from "../../local/environment/stack.ts";
import { type Committed, startCommitted } from "./committed.ts";

let preview: Committed;

beforeAll(async () => {
  preview = await startCommitted("pr-7", {
    configFile: ".github/preview/stack.yaml",
    // As preview-env.yml sets it.
    overrides: { "convex.reference": "pr-7" },
  });
  preview.world.environment.stack.configure("telegramBotTokens", {});
});

afterAll(async () => {
  await preview?.stop();
});

/** By the name that Pulumi knows it under: the script takes nothing for a preview that has no organization. */
const teardown = (name: string): Promise<PulumiRun> =>
  preview.world.environment.stack.tool("bash", [join(projectRoot, ".github/destroy-preview.sh"), name]);
const NAME = "organization/agent-factory/pr-7";

describe("a preview environment", () => {
  it("has a preview deployment of its own, one worker at most, and no webhook without a bot", async () => {
    const { world, convex } = preview;
    const outputs = await world.up();
    expect(outputs).toMatchObject({ telegramWebhookUrl: null, telegramWebhookUrls: {} });
    expect(convex.projects).toMatchObject([{ name: "agent-factory-previews" }]);
    expect(convex.deployments).toMatchObject([
      { reference: "pr-7", deploymentType: "preview", region: "aws-eu-west-1" },
    ]);
    expect(convex.unknown).toEqual([]);
    expect(preview.builds()).toEqual([expect.stringMatching(`^${world.app}:[0-9a-f]{64}$`)]);
    expect(world.app).toMatch(/^af-pr-7-[0-9a-f]{8}$/);
    expect(await world.backend.run("factory:runtimeConfig")).toMatchObject({
      config: {
        scaling: { minWorkers: 0, maxWorkers: 1, warmPool: { size: 0 } },
        spend: { machineHoursPerDayMax: 6 },
      },
    });
  });

  it("is destroyed and forgotten by the script of the workflow, which may be run again", async () => {
    const { world, convex } = preview;
    const destroyed = await teardown(NAME);
    expect(destroyed.code, destroyed.output).toBe(0);
    expect(await world.fly("GET", "/v1/apps?org_slug=personal")).toMatchObject({ apps: [] });
    expect(convex.deployments).toEqual([]);
    expect(await world.variables()).toEqual([]);
    const listed = await world.environment.stack.run(["stack", "ls", "--json"]);
    expect(listed.output).not.toContain("pr-7");
    expect(await teardown(NAME)).toMatchObject({ code: 0, output: `${NAME}: there is none` });
  });
});
