import { afterEach, expect, test, vi } from "vitest";
import { internal } from "../../runtime/convex/_generated/api.js";
import { configOf, current, imageOf, OWNER, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

const answered = async (): Promise<boolean> =>
  (await world.messages()).every((message) => message.status === "done");

test("at the spend ceiling no machine runs and messages wait; the next UTC day they are answered", async () => {
  world = await World.start(configOf((config) => (config.spend.machineHoursPerDayMax = 0.02)));
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 30_000, fails: false });
  for (let i = 0; i < 12; i++) await world.write(`c${i}`);
  await world.until(async () => (await world.alerts()).includes("spend"), 300_000);
  await world.advance(120_000);
  expect(world.provider.living.filter((machine) => machine.state === "started")).toHaveLength(0);
  const waiting = (await world.messages()).filter((message) => message.status === "queued").length;
  expect(waiting).toBeGreaterThan(0);
  const calls = world.provider.calls.filter((call) => call === "create" || call === "start").length;
  await world.advance(3_600_000, 60_000);
  expect(world.provider.calls.filter((call) => call === "create" || call === "start")).toHaveLength(calls);
  const midnight = Date.UTC(2026, 10, 24);
  await world.advance(midnight - Date.now() - 60_000, 300_000);
  const queued = async (): Promise<number> =>
    (await world.messages()).filter((message) => message.status === "queued").length;
  expect(await queued()).toBe(waiting);
  await world.until(async () => (await queued()) < waiting, 120_000);
  expect(Date.now()).toBeGreaterThanOrEqual(midnight);
});

test("a full region makes room for the next one, and is left alone for a while", async () => {
  world = await World.start();
  world.provider.fullRegions.add("iad");
  await world.write("c1");
  await world.until(answered, 30_000);
  expect(world.provider.living[0]?.region).toBe("fra");
  const creates = world.provider.calls.filter((call) => call === "create").length;
  for (let i = 0; i < 5; i++) await world.write(`d${i}`);
  await world.until(answered, 30_000);
  expect(world.provider.calls.filter((call) => call === "create").length - creates).toBe(
    world.provider.living.length - 1,
  );
});

test("no region has room: nothing is left behind, the operator is told, and it goes on when there is room", async () => {
  world = await World.start();
  world.provider.fullRegions.add("iad").add("fra");
  await world.write("c1");
  await world.advance(60_000);
  expect(world.provider.living).toHaveLength(0);
  expect(await world.live()).toHaveLength(0);
  expect(await world.alerts()).toContain("no_capacity");
  expect(world.provider.calls.filter((call) => call === "create").length).toBeLessThan(20);
  world.provider.fullRegions.clear();
  await world.until(answered, 300_000);
  expect(await world.alerts()).not.toContain("no_capacity");
});

test.each(["auth", "quota"] as const)(
  "%s stops the making of machines with an alert instead of hammering",
  async (kind) => {
    world = await World.start();
    world.provider.fault = (operation) =>
      operation === "create" ? { failure: { kind }, acts: false } : null;
    await world.write("c1");
    await world.advance(120_000);
    expect(await world.alerts()).toContain(kind);
    expect(world.provider.calls.filter((call) => call === "create").length).toBeLessThanOrEqual(3);
    expect(await world.live()).toHaveLength(0);
    world.provider.fault = () => null;
    await world.t.mutation(internal.scaler.operators.startWorkers, {});
    await world.until(answered, 30_000);
    expect(await world.alerts()).not.toContain(kind);
  },
);

test("an app of another owner is refused before anything is touched", async () => {
  world = await World.start();
  world.provider.network = "af-fedcba9876543210";
  await world.write("c1");
  await world.advance(60_000);
  expect(new Set(world.provider.calls)).toEqual(new Set(["list", "verifyOwner"]));
  expect(await world.alerts()).toContain("not_owned");
  expect(await world.live()).toHaveLength(0);
});

test("an app that has become another's gets no order, not even one to end what we made", async () => {
  world = await World.start();
  await world.write("c1");
  await world.until(answered, 30_000);
  world.provider.network = "af-fedcba9876543210";
  // A new revision asks about the owner again.
  await world.apply(configOf((config) => (config.scaling.maxWorkers = 2)));
  const before = world.provider.calls.length;
  await world.advance(300_000, 1_000);
  expect(new Set(world.provider.calls.slice(before))).toEqual(new Set(["list", "verifyOwner"]));
  expect(world.provider.living).toHaveLength(1);
});

test("minWorkers run without any message, and are not ended for being idle", async () => {
  world = await World.start(configOf((config) => (config.scaling.minWorkers = 2)));
  await world.advance(300_000, 1_000);
  expect(world.provider.living.map((machine) => machine.state)).toEqual(["started", "started"]);
});

test("a window of the warm pool's schedule is filled ahead of need and emptied after it", async () => {
  world = await World.start(
    configOf((config) => {
      // The simulated day is a Monday, and starts at 09:00 UTC.
      config.scaling.warmPool.size = 0;
      config.scaling.warmPool.schedule = [
        { weekdays: [1], from: "10:00", to: "11:00", timeZone: "UTC", size: 2 },
      ];
    }),
  );
  await world.advance(3_500_000, 60_000);
  expect(world.provider.living).toHaveLength(0);
  await world.advance(300_000, 1_000);
  expect(world.provider.living.map((machine) => machine.state)).toEqual(["suspended", "suspended"]);
  await world.advance(3_600_000, 60_000);
  expect(world.provider.living).toHaveLength(0);
});

test("with volumes, each machine has its own, and it goes with its machine", async () => {
  world = await World.start(
    configOf((config) => {
      config.provider.volume = { sizeGb: 1 };
      config.scaling.warmPool.mode = "none";
    }),
  );
  await world.write("c1");
  await world.until(answered, 30_000);
  expect(world.provider.volumesById.size).toBe(1);
  expect(world.provider.living[0]?.volumeId).not.toBeNull();
  await world.until(async () => world.provider.living.length === 0, 180_000);
  await world.advance(30_000);
  expect(world.provider.volumesById.size).toBe(0);
  expect(await world.live()).toHaveLength(0);
});

test("the cleanup ends orphans only, and says what it did", async () => {
  world = await World.start(configOf((config) => (config.scaling.minWorkers = 1)));
  await world.advance(10_000);
  const dry = await world.t.action(internal.scaler.cleanup.runFlyCleanup, { dryRun: true });
  expect(dry).toMatchObject({ machinesListed: 1, destroyedMachines: [], waiting: [], dryRun: true });
  await world.t.action(internal.scaler.cleanup.runFlyCleanup, {});
  expect(world.provider.living).toHaveLength(1);
});

test("the cleanup destroys an orphan that the loop could not, and an unused volume; others and their names stay", async () => {
  world = await World.start(
    configOf((config) => {
      config.scaling.minWorkers = 1;
      config.provider.volume = { sizeGb: 1 };
    }),
  );
  await world.advance(10_000);
  const [serving] = world.provider.living;
  const machine = (name: string, owner: string) => ({
    name,
    region: "iad",
    image: imageOf("a"),
    env: {},
    metadata: { factory_owner: owner, factory_worker: name },
    guest: { cpuKind: "shared" as const, cpus: 1, memoryMb: 256 },
    killTimeoutMs: 5_000,
    volumeId: null,
    minSecretsVersion: null,
  });
  const orphan = await world.provider.create(machine("w-lost", OWNER));
  const stranger = await world.provider.create(machine("w-other", "agent-factory/other/1"));
  for (const { machineId } of [orphan, stranger]) {
    const made = world.provider.machines.get(machineId);
    if (made !== undefined) made.state = "stopped";
  }
  // As a worker of this database would have named it, had it not ended.
  const prefix = (serving?.name ?? "").replace(/[^-]+$/, "").replaceAll("-", "_");
  const guest = { cpuKind: "shared" as const, cpus: 1, memoryMb: 256 };
  const unused = await world.provider.volumes.create({
    name: `${prefix}zz`,
    region: "iad",
    sizeGb: 1,
    guest,
  });
  await world.provider.volumes.create({ name: "somebodys", region: "iad", sizeGb: 1, guest });
  const cleanup = async () => await world.t.action(internal.scaler.cleanup.runFlyCleanup, {});

  // Not seen by any reconcile yet: it may be in the making.
  expect(await cleanup()).toMatchObject({ waiting: ["w-lost"], destroyedMachines: [], foreign: 1 });
  world.provider.fault = (operation) =>
    operation === "destroy" ? { failure: { kind: "busy" }, acts: false } : null;
  await world.advance(180_000, 1_000);
  expect(world.provider.machines.has(orphan.machineId)).toBe(true);
  world.provider.fault = () => null;
  expect(await cleanup()).toMatchObject({ destroyedMachines: ["w-lost"], waiting: [], failed: [] });
  expect(new Set(world.provider.living.map(({ machineId }) => machineId))).toEqual(
    new Set([serving?.machineId, stranger.machineId]),
  );
  expect(world.provider.volumesById.has(unused.volumeId)).toBe(false);
  expect([...world.provider.volumesById.values()].map(({ name }) => name)).toContain("somebodys");
  expect(world.provider.volumesById.has(serving?.volumeId ?? "")).toBe(true);
});
