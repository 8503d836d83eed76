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

test("a kick that came while a pass was running is answered as soon as the pass ends", async () => {
  world = await World.start();
  // Boots slowly, so that nothing but the kick can make the loop look again before the queue's own check does.
  world.behaviours.set(imageOf("a"), { bootMs: 12_000, turnMs: 1_000, fails: false });
  const open = holdNextCall();
  await world.write("c0");
  for (let tries = 0; tries < 50 && lists() === 0; tries++) await world.elapse(10, 10);
  // The demand that this pass goes by has been read.
  for (let i = 1; i < 5; i++) await world.write(`c${i}`);
  const dirty = async () =>
    await world.t.run(async (ctx) => (await ctx.db.query("scalerState").first())?.dirty);
  for (let tries = 0; tries < 50 && (await dirty()) !== true; tries++) await world.elapse(100, 100);
  expect(creates()).toBe(0);
  open();
  await world.advance(1_000);
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

  const stale = {
    generation: 1,
    demand: { due: 50, running: 0 },
    listings: [{ appName: "af-test", machines: [] }],
  };
  expect(await world.t.mutation(internal.scaler.plan.plan, stale)).toBeNull();
  const workerId = (await world.live())[0]?.workerId ?? "";
  const begun = await world.t.mutation(internal.scaler.begin.begin, {
    generation: 1,
    workerId,
    kind: "verify",
    apps: ["af-test"],
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

test("a turn that outlasts the drain's own time still ends on the worker that runs it", async () => {
  const shortDrain = (letter: string) =>
    configOf((config) => {
      config.provider.image = imageOf(letter);
      config.drain.drainTimeoutMs = 10_000;
    });
  world = await World.start(shortDrain("a"));
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 90_000, fails: false });
  await world.write("c1");
  await world.until(async () => (await world.messages())[0]?.status === "processing", 30_000);
  const first = (await world.messages())[0]?.leaseId;
  await world.apply(shortDrain("b"));
  await world.until(async () => (await world.live()).some((row) => row.state === "draining"), 120_000);
  expect((await world.messages())[0]).toMatchObject({ status: "processing", leaseId: first });
  await world.until(answered, 120_000);
  expect((await world.messages())[0]).toMatchObject({ attempts: 1 });
  expect((await world.decisions()).join("\n")).not.toContain("deadline");
});

test("a worker that hangs in its drain is ended at the deadline, and its turn goes to another unspent", async () => {
  const patient = (letter: string) =>
    configOf((config) => {
      config.provider.image = imageOf(letter);
      config.drain.drainTimeoutMs = 5_000;
      config.turn.turnTimeoutMs = 20_000;
      // Silence alone does not end it: the deadline has to.
      config.lease.leaseMs = 600_000;
      config.scaling.workerLostAfterMs = 3_600_000;
    });
  world = await World.start(patient("a"));
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 600_000, fails: false });
  await world.write("c1");
  await world.until(async () => (await world.messages())[0]?.status === "processing", 30_000);
  const [hung] = world.provider.living;
  world.hang(hung?.machineId ?? "");
  await world.apply(patient("b"));
  await world.until(answered, 180_000);
  expect(world.provider.machines.has(hung?.machineId ?? "")).toBe(false);
  expect((await world.messages())[0]).toMatchObject({ attempts: 1 });
  expect((await world.decisions()).join("\n")).toContain("its drain reached the deadline");
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
