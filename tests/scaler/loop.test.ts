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

/** Holds back the next call of the provider until it is opened. */
function holdNextCall(): () => void {
  let open: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    open = resolve;
  });
  world.provider.gate = () => {
    world.provider.gate = null;
    return held;
  };
  return open;
}
const lists = (): number => world.provider.calls.filter((call) => call === "list").length;
const creates = (): number => world.provider.calls.filter((call) => call === "create").length;
const answered = async (): Promise<boolean> =>
  (await world.messages()).every((message) => message.status === "done");

test("while a pass waits for Fly, kicks start no second one, and are not forgotten", async () => {
  world = await World.start();
  const open = holdNextCall();
  await world.write("c0");
  await world.elapse(1_000);
  for (let i = 1; i < 5; i++) {
    await world.write(`c${i}`);
    await world.elapse(4_000);
  }
  expect(lists()).toBe(1);
  const generation = await world.t.run(
    async (ctx) => (await ctx.db.query("scalerState").first())?.generation,
  );
  expect(generation).toBe(1);
  open();
  await world.until(answered, 30_000);
  expect(creates()).toBe(3);
});

test("a pass that was given up and comes back late plans nothing and makes no call", async () => {
  world = await World.start();
  const open = holdNextCall();
  await world.write("c1");
  await world.elapse(50_000);
  expect(creates()).toBe(1);
  const before = world.provider.calls.length;
  open();
  await world.elapse(500);
  // It had only reads under way; whatever changes anything needs the loop, which is another pass's now.
  expect(world.provider.calls.slice(before)).toEqual(["verifyOwner"]);

  const stale = { generation: 1, demand: { due: 50, running: 0 }, listing: [] };
  expect(await world.t.mutation(internal.scaler.plan.plan, stale)).toBeNull();
  const workerId = (await world.live())[0]?.workerId ?? "";
  const begun = await world.t.mutation(internal.scaler.outcome.begin, {
    generation: 1,
    workerId,
    kind: "verify",
  });
  expect(begun).toBeNull();
  expect(creates()).toBe(1);
});

test("a create whose answer is lost and whose machine is not listed yet is asked again by name and adopted", async () => {
  world = await World.start(configOf((config) => (config.scaling.reconcileIntervalMs = 3_000)));
  world.behaviours.set(imageOf("a"), { bootMs: 15_000, turnMs: 1_000, fails: false });
  let lost = false;
  world.provider.fault = (operation) => {
    if (operation !== "create" || lost) return null;
    lost = true;
    return { failure: { kind: "unknown" }, acts: true };
  };
  await world.write("c1");
  await world.advance(1_000);
  const name = (await world.live())[0]?.workerId ?? "";
  world.provider.unlisted.add(name);
  await world.advance(10_000);
  expect((await world.live())[0]?.machineId).toBeDefined();
  world.provider.unlisted.clear();
  await world.until(answered, 30_000);
  expect(creates()).toBe(2);
  expect(world.provider.living.map((machine) => machine.name)).toEqual([name]);
});

test("a rollout lets long turns of the old workers end before they go", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 4)));
  for (const letter of ["a", "b"])
    world.behaviours.set(imageOf(letter), { bootMs: 1_000, turnMs: 25_000, fails: false });
  for (let i = 0; i < 4; i++) await world.write(`c${i}`);
  await world.advance(15_000);
  await world.apply(
    configOf((config) => {
      config.scaling.maxWorkers = 4;
      config.provider.image = imageOf("b");
    }),
  );
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) await world.write(`c${i}`);
    await world.advance(20_000);
  }
  await world.until(answered, 600_000);
  expect((await world.messages()).map((message) => message.attempts)).toEqual(
    (await world.messages()).map(() => 1),
  );
  expect(new Set(world.provider.living.map((machine) => machine.image))).toEqual(new Set([imageOf("b")]));
});
