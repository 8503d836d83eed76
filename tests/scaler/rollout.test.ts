import { afterEach, expect, test, vi } from "vitest";
import { internal } from "../../runtime/convex/_generated/api.js";
import { configOf, current, imageOf, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

const status = async () => {
  const found = await world.t.query(internal.scaler.rolloutStatus.rolloutStatus, {});
  if (found === null) throw new Error("no config");
  return found;
};
const phase = async (): Promise<string> => (await status()).phase;
const withImage = (letter: string, change: Parameters<typeof configOf>[0] = () => undefined) =>
  configOf((config) => {
    config.provider.image = imageOf(letter);
    change(config);
  });

/** Writes to several conversations for ever, one message each every few seconds. */
async function underLoad(ms: number, conversations = 4): Promise<void> {
  for (let passed = 0; passed < ms; passed += 4_000) {
    for (let i = 0; i < conversations; i++) await world.write(`c${i}`);
    await world.advance(4_000);
  }
}
const images = (): string[] => world.provider.living.map((machine) => machine.image ?? "").sort();

test("a good image under load is promoted, every worker replaced, and no turn fails or is cut off", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 4)));
  await underLoad(20_000);
  await world.apply(withImage("b", (config) => (config.scaling.maxWorkers = 4)));
  await underLoad(120_000);
  expect(await phase()).toBe("done");
  expect(new Set(images())).toEqual(new Set([imageOf("b")]));
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    60_000,
  );
  expect((await world.messages()).every((message) => message.attempts === 1)).toBe(true);
});

test("an idle environment proves the image with one canary and promotes it", async () => {
  world = await World.start();
  await world.apply(withImage("b"));
  await world.until(async () => (await phase()) === "done", 120_000);
  expect(images()).toEqual([imageOf("b")]);
  expect((await status()).reason).toBeNull();
});

test("an image that crashes at boot is rolled back, and the former one goes on serving", async () => {
  world = await World.start();
  await underLoad(20_000);
  world.behaviours.set(imageOf("b"), { bootMs: null, turnMs: 0, fails: false });
  await world.apply(withImage("b"));
  await underLoad(120_000);
  const ended = await status();
  expect(ended.phase).toBe("rolled_back");
  expect(ended.reason).toContain("did not come up");
  expect(new Set(images())).toEqual(new Set([imageOf("a")]));
  const config = await world.refresh();
  expect(config.provider.image).toBe(imageOf("a"));
  const history = await world.t.query(internal.config.apply.runtimeConfigHistory, {});
  expect(history[0]?.appliedBy).toBe("rollout");
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    60_000,
  );
  expect(await world.alerts()).toContain("rollout");
});

test("an image that never reports ready is rolled back when the gate's time is over", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("b"), { bootMs: "hang", turnMs: 0, fails: false });
  await world.apply(withImage("b", (config) => (config.rollout.gateTimeoutMs = 60_000)));
  await world.until(async () => (await phase()) === "rolled_back", 120_000);
  await world.advance(120_000);
  expect(world.provider.living).toHaveLength(0);
});

test("an image that fails every turn is rolled back by its failure rate, and its messages are answered", async () => {
  world = await World.start();
  await underLoad(20_000);
  world.behaviours.set(imageOf("b"), { bootMs: 1_000, turnMs: 500, fails: true });
  await world.apply(withImage("b", (config) => (config.rollout.gateObserveMs = 60_000)));
  await underLoad(120_000);
  const ended = await status();
  expect(ended.phase).toBe("rolled_back");
  expect(ended.reason).toContain("turns failed on the new workers");
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    240_000,
  );
});

test("a second rollout during the first supersedes it and returns, on failure, to what the first replaced", async () => {
  world = await World.start();
  await underLoad(12_000);
  world.behaviours.set(imageOf("b"), { bootMs: "hang", turnMs: 0, fails: false });
  world.behaviours.set(imageOf("c"), { bootMs: null, turnMs: 0, fails: false });
  await world.apply(withImage("b"));
  await underLoad(8_000);
  await world.apply(withImage("c"));
  await underLoad(120_000);
  expect(await phase()).toBe("rolled_back");
  expect((await world.refresh()).provider.image).toBe(imageOf("a"));
  expect(new Set(images())).toEqual(new Set([imageOf("a")]));
  const rollouts = await world.t.run(async (ctx) => await ctx.db.query("rollouts").collect());
  expect(rollouts.map((row) => row.phase)).toEqual(["superseded", "rolled_back"]);
});

test("a change of scaling alone starts no rollout and holds at once", async () => {
  world = await World.start();
  await underLoad(12_000);
  await world.apply(configOf((config) => (config.scaling.jobsPerWorker = 6)));
  expect(await phase()).toBe("none");
  expect((await world.live()).map((worker) => worker.slots)).toEqual((await world.live()).map(() => 6));
});

test("with a single worker allowed, the canary takes its place and no message is lost", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 1)));
  world.checks.push(async () => {
    expect(world.provider.living.length).toBeLessThanOrEqual(1);
  });
  await underLoad(12_000, 2);
  await world.apply(withImage("b", (config) => (config.scaling.maxWorkers = 1)));
  await underLoad(120_000, 2);
  expect(await phase()).toBe("done");
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    60_000,
  );
  expect((await world.messages()).every((message) => message.attempts === 1)).toBe(true);
});
