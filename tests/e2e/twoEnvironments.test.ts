/** Two stacks side by side on one Fly: each has its own deployment and bot, neither touches the other's. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectRoot } from "../../local/environment/environment.ts";
import { LocalStack } from "../../local/environment/stack.ts";
import type { Person } from "../../local/environment/person.ts";
import { World } from "./world.ts";

const ada: Person = { id: 8_001, first_name: "Ada" };
const bruno: Person = { id: 8_002, first_name: "Bruno" };

let first: World;
let second: World;
let owners: [string, string];

beforeAll(async () => {
  first = await World.start();
  const { fly } = first.environment.cloud;
  second = await World.start({}, { stack: "second", cloud: async (own) => ({ ...own, fly }) });
  const outputs = [await first.up(), await second.up()];
  owners = [String(outputs[0]?.["owner"]), String(outputs[1]?.["owner"])];
});

afterAll(async () => {
  // The second one's machines run on the first one's Fly, which goes last.
  await second?.stop();
  await first?.stop();
});

/** A third stack whose config names what belongs to the first. */
async function intruder(overrides: Record<string, unknown>): Promise<LocalStack> {
  const { cloud, stateDir } = first.environment;
  const stack = new LocalStack({
    root: projectRoot,
    stateDir: join(stateDir, "intruder"),
    stack: "intruder",
    cloud,
    botToken: `1000000001:${randomBytes(26).toString("base64url").slice(0, 35)}`,
    model: {
      name: "openai/echo-1",
      baseUrl: `${cloud.model.url}/v1`,
      keys: { OPENAI_API_KEY: "key-of-a-third-stack" },
    },
    overrides,
  });
  await stack.prepare();
  return stack;
}

describe("two environments on one Fly", () => {
  it("answer their own people from their own machines", async () => {
    expect(await first.ask(ada, "I wrote to the first bot.")).toContain("first bot");
    expect(await second.ask(bruno, "I wrote to the second bot.")).toContain("second bot");
    expect(first.app).not.toBe(second.app);
    const [firstOwner, secondOwner] = [await ownersOf(first), await ownersOf(second)];
    expect(firstOwner).toEqual(new Set([owners[0]]));
    expect(secondOwner).toEqual(new Set([owners[1]]));
    expect(await first.answers(bruno)).toEqual([]);
    expect(await second.answers(ada)).toEqual([]);
  });

  it("keep their workers when the other one cleans up", async () => {
    const before = (await second.machines()).map(({ id, state }) => ({ id, state }));
    await first.backend.run("factory:runFlyCleanup");
    expect((await second.machines()).map(({ id, state }) => ({ id, state }))).toEqual(before);
  });

  it("refuse a stack that names the app or the deployment of another", async () => {
    const stack = await intruder({ "fly.appName": first.app });
    const app = await stack.up();
    expect(app.code).not.toBe(0);
    expect(app.output).toMatch(
      new RegExp(
        `Fly app '${first.app}' is owned by another deployment \\(network '${networkOf(owners[0])}', expected 'af-[0-9a-f]{16}'\\)\\. ` +
          "One Fly app serves one Convex deployment: choose another agent-factory:fly\\.appName\\.",
      ),
    );
    const own = await intruder({});
    const deployment = await own.up();
    expect(deployment.code).not.toBe(0);
    expect(deployment.output).toMatch(
      new RegExp(
        `Convex deployment ${first.environment.cloud.convex.url} is owned by stack '${owners[0]}', this stack is 'agent-factory/intruder/[0-9a-f]{16}'\\. ` +
          "One deployment serves one stack: point agent-factory:convex at another deployment, or destroy the other stack first\\.",
      ),
    );
    const gone = await own.destroy();
    expect(gone.code, gone.output).toBe(0);
    expect(await first.ask(ada, "Did anybody come by?")).toContain("This is turn 2");
  });

  it("survive the end of the other", async () => {
    const destroyed = await second.environment.stack.destroy();
    expect(destroyed.code, destroyed.output).toBe(0);
    expect(await first.fly("GET", "/v1/apps?org_slug=personal")).toMatchObject({
      apps: [{ name: first.app }],
    });
    expect(await first.ask(ada, "Still there?")).toContain("This is turn 3");
  });
});

function networkOf(owner: string): string {
  return `af-${owner.split("/").at(-1)}`;
}

/** The owners that the machines of a world's app carry. */
async function ownersOf(world: World): Promise<Set<string | undefined>> {
  const machines = (await world.fly("GET", `/v1/apps/${world.app}/machines`)) as Array<{
    config: { metadata?: Record<string, string> };
  }>;
  return new Set(machines.map((machine) => machine.config.metadata?.["factory_owner"]));
}
