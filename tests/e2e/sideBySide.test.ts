/**
 * Two environments on one Fly that do things at the same time: they are made, rolled out, changed by hand and destroyed
 * while people write to both, and neither notices the other.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { BEHAVIOUR_VARIABLE } from "../faults/fleet/image/engine.ts";
import { inventoryOf, leftovers } from "./inventory.ts";
import { lightStack, prepareApp, Talk } from "./lightWorkers.ts";
import { World } from "./world.ts";

let left: World;
let right: World;
let talks: { left: Talk; right: Talk };
const LEFT = "af-left";
const RIGHT = "af-right";

beforeAll(async () => {
  left = await World.start(lightStack(LEFT));
  const { fly } = left.environment.cloud;
  right = await World.start(lightStack(RIGHT), { stack: "right", cloud: async (own) => ({ ...own, fly }) });
  talks = { left: new Talk(left, 9_200, 4), right: new Talk(right, 9_300, 4) };
  await prepareApp(left, LEFT);
  await prepareApp(right, RIGHT);
});

afterAll(async () => {
  // The right one's machines run on the left one's Fly, which goes last.
  await right?.stop();
  await left?.stop();
});

/** What each world's live workers say of the machines that Fly has: each its own, none of the other's. */
async function owners(world: World): Promise<Set<string | undefined>> {
  const machines = (await world.fly("GET", `/v1/apps/${world.app}/machines`)) as Array<{
    config: { metadata?: Record<string, string> };
  }>;
  return new Set(machines.map((machine) => machine.config.metadata?.["factory_owner"]));
}

const phaseOf = async (world: World, revision: unknown): Promise<string> =>
  (await world.backend.run<{ phase: string }>("factory:rolloutStatus", { revision })).phase;

/** Rolls a change of the machines out; the engine waits for its end. */
function rollOut(world: World, env: Record<string, string>) {
  world.environment.stack.configure("workerEnv", env);
  return world.environment.stack.up();
}

it("are made at once, and each answers its own people alone", async () => {
  const [first, second] = await Promise.all([left.up(), right.up()]);
  await Promise.all([talks.left, talks.right].map((talk) => talk.write(talk.patient, 10)));
  await Promise.all([talks.left.expectNothingLost(), talks.right.expectNothingLost()]);
  expect(await owners(left)).toEqual(new Set([first["owner"]]));
  expect(await owners(right)).toEqual(new Set([second["owner"]]));
  expect(await left.answers(talks.right.patient)).toEqual([]);
  expect(await right.answers(talks.left.patient)).toEqual([]);
});

it("roll out at once under load, and a rollout that goes back in one is none of the other's business", async () => {
  const before = (await right.environment.stack.outputs())["runtimeConfigRevision"];
  const [good, bad] = await Promise.all([
    talks.left.underLoad(() => rollOut(left, { ROLLED: "1" })),
    talks.right.underLoad(() => rollOut(right, { [BEHAVIOUR_VARIABLE]: "crashesAtBoot" })),
  ]);
  expect(good.code, good.output).toBe(0);
  expect(await phaseOf(left, (await left.environment.stack.outputs())["runtimeConfigRevision"])).toBe("done");
  expect(bad.code).not.toBe(0);
  expect(bad.output).toContain("was rolled back: 2 workers with the new image did not come up");
  await Promise.all([talks.left.expectNothingLost(), talks.right.expectNothingLost()]);

  const refreshed = await right.environment.stack.refresh();
  expect(refreshed.code, refreshed.output).toBe(0);
  const both = await Promise.all([
    talks.left.underLoad(() => rollOut(left, { ROLLED: "2" })),
    talks.right.underLoad(() => rollOut(right, { ROLLED: "2" })),
  ]);
  for (const run of both) expect(run.code, run.output).toBe(0);
  const revision = (await right.environment.stack.outputs())["runtimeConfigRevision"];
  expect(Number(revision)).toBeGreaterThan(Number(before));
  expect(await phaseOf(right, revision)).toBe("done");
  await Promise.all([talks.left.expectNothingLost(), talks.right.expectNothingLost()]);
});

it("name and mend what was changed by hand in one, while the other stays as it is", async () => {
  const untouched = await inventoryOf(right);
  await left.fly("POST", `/v1/apps/${left.app}/secrets`, { values: { OPENAI_API_KEY: "somebody-elses" } });
  await left.setVariable("WORKER_TOKEN_KEY", null);
  await left.pointWebhookAt("https://elsewhere.example/hook");
  await left.revokeTokensOf(left.app);
  const looked = await Promise.all(
    [left, right].map((world) => world.environment.stack.preview(["--refresh", "--expect-no-changes"])),
  );
  expect(looked[0]?.code).not.toBe(0);
  for (const name of ["fly-secrets", "fly-token", "convex-env", "telegram-webhook-default"]) {
    expect(looked[0]?.output).toContain(`::${name}]`);
  }
  expect(looked[1]?.code, looked[1]?.output).toBe(0);
  const mended = await Promise.all([
    left.environment.stack.up(undefined, ["--refresh"]),
    right.environment.stack.up(undefined, ["--refresh", "--expect-no-changes"]),
  ]);
  for (const run of mended) expect(run.code, run.output).toBe(0);
  // Machines come and go with the load; what the stack owns does not.
  const { machines: _then, ...then } = untouched;
  const { machines: _now, ...now } = await inventoryOf(right);
  expect(now).toEqual(then);
  await Promise.all([talks.left, talks.right].map((talk) => talk.write(talk.patient, 10)));
  await Promise.all([talks.left.expectNothingLost(), talks.right.expectNothingLost()]);
});

it("are destroyed one while the other rolls out under load, which loses nothing", async () => {
  await talks.left.write(talks.left.patient, 4_000);
  const [gone, rolled] = await Promise.all([
    left.environment.stack.destroy(),
    talks.right.underLoad(() => rollOut(right, { ROLLED: "3" })),
  ]);
  expect(gone.code, gone.output).toBe(0);
  expect(rolled.code, rolled.output).toBe(0);
  expect(await phaseOf(right, (await right.environment.stack.outputs())["runtimeConfigRevision"])).toBe(
    "done",
  );
  await talks.right.expectNothingLost();
  // The turn that ran when the destroy began was answered.
  await talks.left.expectNothingLost();
  const others = (line: string): boolean => line.startsWith("process ") || line === `app ${right.app}`;
  expect((await leftovers(left)).filter((line) => !others(line))).toEqual([]);
  expect((await owners(right)).size).toBe(1);

  const last = await right.environment.stack.destroy();
  expect(last.code, last.output).toBe(0);
  for (const world of [left, right]) expect(await leftovers(world)).toEqual([]);
});
