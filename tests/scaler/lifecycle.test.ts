import { afterEach, expect, test, vi } from "vitest";
import { current, imageOf, World, configOf } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

test("a message makes one worker, whose row precedes its machine; it answers, rests and ends", async () => {
  world = await World.start();
  await world.write("c1");
  await world.until(async () => (await world.messages())[0]?.status === "done", 30_000);
  expect(world.provider.living).toHaveLength(1);
  const [machine] = world.provider.living;
  expect(machine).toMatchObject({ image: imageOf("a"), region: "iad" });
  expect(machine?.env).toMatchObject({ CONVEX_URL: "https://happy-otter-1.convex.cloud", WORKER_JOBS: "2" });

  await world.until(async () => (await world.live())[0]?.state === "warm", 120_000);
  expect(world.provider.living[0]?.state).toBe("suspended");
  await world.advance(6 * 3_600_000 - 60_000, 60_000);
  expect(world.provider.living).toHaveLength(1);
  await world.until(async () => world.provider.living.length === 0, 120_000);
  await world.advance(5_000);
  expect(await world.live()).toHaveLength(0);
});

test("twenty messages of one conversation make one worker and at most one listing per interval", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 5)));
  for (let i = 0; i < 20; i++) await world.write("c1", `m${i}`);
  await world.advance(10_000);
  expect(world.provider.living).toHaveLength(1);
  expect(world.provider.calls.filter((call) => call === "list")).toHaveLength(1);
});

test("an idle environment with a warm worker asks for nothing until the warm time is over", async () => {
  world = await World.start();
  await world.write("c1");
  await world.until(async () => (await world.live())[0]?.state === "warm", 120_000);
  await world.advance(30_000);
  const calls = world.provider.calls.length;
  const ran = await world.executions();
  await world.advance(3_600_000, 60_000);
  expect(world.provider.calls.length).toBe(calls);
  expect((await world.executions()).slice(ran.length)).toEqual([]);
});

test("a warm worker is started before a new one is made, and serves at once", async () => {
  world = await World.start();
  await world.write("c1");
  await world.until(async () => (await world.live())[0]?.state === "warm", 120_000);
  await world.write("c2");
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    10_000,
  );
  expect(world.provider.calls.filter((call) => call === "create")).toHaveLength(1);
  expect(world.provider.calls.filter((call) => call === "start")).toHaveLength(1);
});

test("two hundred conversations never bring more machines than the ceiling", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 3)));
  world.checks.push(async () => {
    expect(world.provider.living.length).toBeLessThanOrEqual(3);
  });
  for (let i = 0; i < 60; i++) await world.write(`c${i}`);
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    120_000,
  );
  expect(world.provider.calls.filter((call) => call === "create")).toHaveLength(3);
  expect((await world.decisions()).join("\n")).toContain("ceiling 3 reached");
});

test("a worker whose process is killed is replaced and its message answered once", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 20_000, fails: false });
  await world.write("c1");
  await world.until(async () => (await world.messages())[0]?.status === "processing", 30_000);
  world.kill(world.provider.living[0]?.machineId ?? "");
  const killedAt = Date.now();
  await world.until(async () => (await world.messages())[0]?.attempts === 2, 60_000);
  expect(Date.now() - killedAt).toBeLessThan(45_000);
  await world.until(async () => (await world.messages())[0]?.status === "done", 60_000);
  await world.advance(30_000);
  expect(world.provider.living).toHaveLength(1);
});

test("a hung worker is ended when its lease runs out, and its message answered by another", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 20_000, fails: false });
  await world.write("c1");
  await world.until(async () => (await world.messages())[0]?.status === "processing", 30_000);
  const hung = world.provider.living[0]?.machineId ?? "";
  world.hang(hung);
  await world.until(async () => !world.provider.machines.has(hung), 60_000);
  await world.until(async () => (await world.messages())[0]?.status === "done", 60_000);
  expect((await world.messages())[0]?.attempts).toBe(2);
});

test("machines of another owner are left alone, and reported", async () => {
  world = await World.start();
  await world.provider.create({
    name: "stranger",
    region: "iad",
    image: imageOf("f"),
    env: {},
    metadata: { factory_owner: "somebody/else/1" },
    guest: { cpuKind: "shared", cpus: 1, memoryMb: 256 },
    killTimeoutMs: 5_000,
    volumeId: null,
    minSecretsVersion: null,
  });
  await world.write("c1");
  await world.advance(300_000, 1_000);
  expect(world.provider.living.map((machine) => machine.name)).toContain("stranger");
  expect(await world.alerts()).toContain("foreign_machines");
});

test("a machine of ours without a row is destroyed after the grace, not before", async () => {
  world = await World.start();
  const { machineId } = await world.provider.create({
    name: "w-lost",
    region: "iad",
    image: imageOf("a"),
    env: {},
    metadata: { factory_owner: "agent-factory/test/0123456789abcdef", factory_worker: "w-lost" },
    guest: { cpuKind: "shared", cpus: 1, memoryMb: 256 },
    killTimeoutMs: 5_000,
    volumeId: null,
    minSecretsVersion: null,
  });
  const machine = world.provider.machines.get(machineId);
  if (machine !== undefined) machine.state = "stopped";
  await world.write("c1");
  await world.advance(80_000);
  expect(world.provider.machines.has(machineId)).toBe(true);
  await world.advance(40_000);
  expect(world.provider.machines.has(machineId)).toBe(false);
});

test("a missing token is told in the contract's words, and creates nothing", async () => {
  world = await World.start();
  await world.t.run(async (ctx) => {
    for (const row of await ctx.db.query("secrets").collect()) await ctx.db.delete("secrets", row._id);
  });
  await world.write("c1");
  await world.advance(5_000);
  expect(world.provider.calls).toHaveLength(0);
  expect((await world.decisions()).join()).toContain(
    "Missing Fly API token. Import an active 'fly.apiToken' secret or pass flyApiToken explicitly.",
  );
});

test("a pass whose action is lost is noticed by its watchdog", async () => {
  world = await World.start();
  world.provider.fault = () => {
    throw new Error("the backend was killed here");
  };
  await world.write("c1");
  await world.advance(10_000);
  expect(world.provider.living).toHaveLength(0);
  world.provider.fault = () => null;
  await world.until(async () => (await world.messages())[0]?.status === "done", 60_000);
});

test("a worker that is ready and has claimed nothing yet is the one that the next message wakes", async () => {
  world = await World.start(configOf((config) => (config.scaling.minWorkers = 1)));
  await world.refresh();
  await world.until(async () => (await world.live())[0]?.readyAt !== undefined, 60_000);
  expect(await world.live()).toMatchObject([{ state: "active", load: 0, hasFreeSlot: true }]);
});
