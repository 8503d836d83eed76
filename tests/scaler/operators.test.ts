/** What operators and the stack ask of a fleet: its state, its rollout, its idle workers, its end. */
import { afterEach, expect, test, vi } from "vitest";
import { internal } from "../../runtime/convex/_generated/api.js";
import { logDecision } from "../../runtime/convex/scaler/decisions.ts";
import { configOf, current, imageOf, OWNER, STARTED_AT, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

/** Whatever tick is due never comes. */
const loseTick = async (): Promise<void> =>
  await world.t.run(async (ctx) => {
    const timer = await ctx.db.query("scalerTimer").first();
    if (timer === null) throw new Error("no timer");
    if (timer.scheduledId !== undefined) await ctx.scheduler.cancel(timer.scheduledId);
    await ctx.db.patch("scalerTimer", timer._id, { nextTickAt: null, scheduledId: undefined });
  });
const answered = async (): Promise<boolean> =>
  (await world.messages()).every((message) => message.status === "done");
const checkIdle = async () => await world.t.mutation(internal.scaler.operators.checkIdleShutdowns, {});
const stats = async () => await world.t.query(internal.scaler.operators.workerStats, {});
const rolloutOf = async (revision?: number) =>
  await world.t.query(
    internal.scaler.rolloutStatus.rolloutStatus,
    revision === undefined ? {} : { revision },
  );
const retire = async (owner = OWNER) =>
  await world.t.mutation(internal.scaler.retire.retireRuntimeConfig, { owner, actor: "stack" });
const left = async (): Promise<number> => (await world.t.query(internal.scaler.retire.workersLeft, {})).live;

test("idle workers are counted with the time of the next one, which the loop keeps by itself", async () => {
  world = await World.start();
  expect(await checkIdle()).toEqual({ checked: 0, stopped: 0, pending: 0, nextCheckScheduled: null });
  await world.write("c1");
  await world.until(answered, 30_000);
  const [row] = await world.live();
  // idleTimeoutMs is 60 s in this config, counted from the last claim.
  const due = (row?.lastClaimAt ?? 0) + 60_000;
  expect(await checkIdle()).toEqual({ checked: 1, stopped: 0, pending: 0, nextCheckScheduled: due });
  await world.advance(due - Date.now() + 1_000);
  expect((await world.live())[0]?.state).not.toBe("active");
  expect(await checkIdle()).toMatchObject({ pending: 0, nextCheckScheduled: null });
});

test("an idle worker whose time is over, and whose tick was lost, is ended by the check", async () => {
  world = await World.start();
  await world.write("c1");
  await world.until(answered, 30_000);
  await loseTick();
  await world.advance(90_000);
  expect((await world.live())[0]?.state).toBe("active");
  expect(await checkIdle()).toMatchObject({ checked: 1, pending: 1 });
  await world.advance(10_000);
  expect((await world.live())[0]?.state).toBe("warm");
});

test("a worker at work is not pending, however long ago it claimed", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 200_000, fails: false });
  await world.write("c1");
  await world.advance(120_000);
  expect(await checkIdle()).toEqual({ checked: 1, stopped: 0, pending: 0, nextCheckScheduled: null });
  expect((await world.live())[0]).toMatchObject({ state: "active", load: 1 });
});

test("the statistics name each worker's image, revision and load, and the machine time of the day", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 1_800_000, fails: false });
  await world.write("c1");
  await world.advance(1_800_000, 5_000);
  const found = await stats();
  expect(found).toMatchObject({ activeCount: 1, idleCount: 0, warmCount: 0 });
  expect(found.workers).toMatchObject([
    { state: "active", load: 1, slots: 2, image: imageOf("a"), configRevision: 1, region: "iad" },
  ]);
  expect(found.machineHoursToday).toBeCloseTo(0.5, 1);
});

test("before any rollout the status is none and finished; during one it counts; afterwards it says how it ended", async () => {
  world = await World.start();
  expect(await rolloutOf()).toMatchObject({
    phase: "none",
    finished: true,
    revision: 1,
    image: imageOf("a"),
    startedAt: null,
  });
  await world.write("c1");
  await world.until(answered, 30_000);
  const revision = await world.apply(configOf((config) => (config.provider.image = imageOf("b"))));
  await world.until(async () => ((await rolloutOf())?.workersNewReady ?? 0) > 0, 60_000);
  expect(await rolloutOf(revision)).toMatchObject({
    finished: false,
    revision,
    image: imageOf("b"),
    stableRevision: 1,
    stableImage: imageOf("a"),
    workersNew: 1,
    workersNewReady: 1,
    workersOld: 1,
  });
  await world.until(async () => (await rolloutOf())?.finished === true, 180_000);
  expect(await rolloutOf(revision)).toMatchObject({ phase: "done", workersOld: 0 });
  expect((await rolloutOf(revision))?.finishedAt).toBeGreaterThan(STARTED_AT);
  // A revision that changed no machine has no rollout of its own.
  const scaled = await world.apply(
    configOf((config) => {
      config.provider.image = imageOf("b");
      config.scaling.jobsPerWorker = 6;
    }),
  );
  expect(await rolloutOf(scaled)).toMatchObject({ phase: "none", finished: true });
});

test("a retired stack ends every worker, busy ones after their turn, and makes none for what arrives meanwhile", async () => {
  world = await World.start(configOf((config) => (config.scaling.jobsPerWorker = 1)));
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 40_000, fails: false });
  await world.write("warm");
  await world.until(async () => (await world.live())[0]?.state === "warm", 180_000);
  await world.write("c1");
  await world.write("c2");
  await world.until(
    async () => (await world.messages()).filter((message) => message.status === "processing").length === 2,
    60_000,
  );
  expect(await retire()).toEqual({ retired: true });
  const creates = world.provider.calls.filter((call) => call === "create").length;
  await world.write("late");
  await world.advance(10_000);
  // Both are told to end and go on with their turns.
  expect((await world.live()).map((row) => [row.state, row.load])).toEqual([
    ["draining", 1],
    ["draining", 1],
  ]);
  expect(await left()).toBe(2);
  await world.until(async () => (await left()) === 0, 120_000);
  expect(world.provider.living).toEqual([]);
  const ended = (await world.messages()).map((message) => [message.conversationId, message.status]);
  expect(ended).toEqual([
    ["warm", "done"],
    ["c1", "done"],
    ["c2", "done"],
    ["late", "queued"],
  ]);
  expect(world.provider.calls.filter((call) => call === "create")).toHaveLength(creates);
  // Repeating it changes nothing, and the next `pulumi up` takes it back.
  expect(await retire()).toEqual({ retired: true });
  await world.apply(configOf());
  await world.until(answered, 60_000);
});

test("the fallback finds a message whose tick was lost, and asks nothing of an environment at rest", async () => {
  world = await World.start();
  await world.advance(5_000);
  const before = (await world.executions()).length;
  await world.t.mutation(internal.scaler.loop.fallback, {});
  await world.advance(60_000, 1_000);
  expect((await world.executions()).length).toBe(before);

  await world.write("c1");
  await loseTick();
  expect(await world.decisions()).toEqual([]);
  await world.t.mutation(internal.scaler.loop.fallback, {});
  await world.until(answered, 30_000);
});

test("the decision log can be read newest first, keeps 500 rows, and a repeated decision is one row", async () => {
  world = await World.start();
  const numbers = { due: 1, running: 0, desired: 1, live: 0, warm: 0 };
  await world.t.run(async (ctx) => {
    for (let i = 0; i < 520; i++) await logDecision(ctx, 1, `decision ${i}`, numbers);
    await logDecision(ctx, 1, "decision 519", numbers);
  });
  expect(await world.decisions()).toHaveLength(500);
  const shown = await world.t.query(internal.scaler.operators.scalerDecisions, { limit: 2 });
  expect(shown.map((row) => row.text)).toEqual(["decision 519", "decision 518"]);
  expect(shown[0]).toMatchObject(numbers);
  const most = await world.t.query(internal.scaler.operators.scalerDecisions, { limit: 9_999 });
  expect(most).toHaveLength(200);
});

test("another stack may not retire the config", async () => {
  world = await World.start();
  await expect(retire("agent-factory/other/1")).rejects.toThrow(
    `This deployment belongs to stack '${OWNER}'; stack 'agent-factory/other/1' may not retire its runtime config.`,
  );
});
