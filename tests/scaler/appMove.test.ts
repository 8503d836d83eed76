/** A stack that moves to another Fly app: both apps are looked after until the former one is empty. */
import { afterEach, expect, test, vi } from "vitest";
import { internal } from "../../runtime/convex/_generated/api.js";
import type { RuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";
import { configOf, imageOf, openApp, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: ({ appName }: { appName: string }, token: string) => openApp(appName, token),
}));

let world: World;
afterEach(async () => {
  await world.close();
});

const FORMER = "af-test";
const NEXT = "af-next";
const move = (appName: string, change: (config: RuntimeConfig) => void = () => undefined) =>
  configOf((config) => {
    // A digest that was promoted: the same image, whatever the app.
    config.provider.appName = appName;
    config.scaling.reconcileIntervalMs = 2_000;
    change(config);
  });
const use = async (appName: string) => await world.t.query(internal.scaler.appStatus.appStatus, { appName });
const phase = async (): Promise<string> =>
  (await world.t.query(internal.scaler.rolloutStatus.rolloutStatus, {}))?.phase ?? "";
const names = (machines: Iterable<{ name: string }>): string[] => [...machines].map(({ name }) => name);

async function serving(): Promise<void> {
  world = await World.start(move(FORMER));
  await world.addApp(FORMER);
  await world.write("c0");
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
}

test("the new app proves itself, then turns of the former one end before its machines do", async () => {
  await serving();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 90_000, fails: false });
  await world.write("long");
  await world.until(async () => (await world.live()).some((worker) => worker.load > 0));
  const [former] = await world.live();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 1_000, fails: false });

  // The stack imports the new app's token long before it writes the config: an image is built in between.
  const next = await world.addApp(NEXT);
  await world.advance(60_000);
  expect(await world.alerts()).toEqual([]);
  expect((await world.live()).map((worker) => worker.workerId)).toContain(former?.workerId);
  await world.apply(move(NEXT));
  await world.until(async () => next.machines.size > 0);
  expect(names(world.provider.living)).toContain(former?.workerId);
  expect(await use(FORMER)).toMatchObject({ use: "leaving" });
  for (let i = 0; i < 5; i++) await world.write(`new-${i}`);
  await world.until(async () => (await phase()) === "done");

  expect(world.provider.living).toEqual([]);
  const messages = await world.messages();
  const long = messages.find((message) => message.conversationId === "long");
  expect(long).toMatchObject({ status: "done", workerId: former?.workerId });
  for (const message of messages) expect(message).toMatchObject({ status: "done", attempts: 1 });
  // The digest that this world pins is in the former app's repository.
  expect(await use(FORMER)).toMatchObject({ use: "free", live: 0, holdsImage: true });
  expect(await use(NEXT)).toMatchObject({ use: "in_force", tokenApp: NEXT, holdsImage: false });
  expect(await world.alerts()).toEqual([]);
});

test("a worker of an earlier release, whose row names no app, is looked for where it was made", async () => {
  await serving();
  await world.t.run(async (ctx) => {
    for (const worker of await ctx.db.query("workers").collect())
      await ctx.db.patch("workers", worker._id, { appName: undefined });
  });
  await world.write("before");
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
  const [former] = await world.live();
  await world.addApp(NEXT);
  await world.apply(move(NEXT));
  await world.until(async () => (await use(FORMER)).use === "free");
  expect(world.provider.living).toEqual([]);
  const row = (await world.workers()).find((worker) => worker.workerId === former?.workerId);
  expect(row).toMatchObject({ appName: FORMER, stopReason: "runs the former image" });
});

test("an app in which nothing comes up is rolled back to the former one, which serves all the time", async () => {
  await serving();
  const next = await world.addApp(NEXT);
  world.behaviours.set(imageOf("b"), { bootMs: null, turnMs: 0, fails: false });
  await world.apply(move(NEXT, (config) => (config.provider.image = imageOf("b"))));
  await world.until(async () => next.machines.size > 0);
  await world.write("meanwhile");
  await world.until(async () => (await phase()) === "rolled_back");
  const { provider } = await world.refresh();
  expect(provider).toMatchObject({ appName: FORMER, image: imageOf("a") });
  await world.until(async () => (await use(NEXT)).use === "free");
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
  expect(next.living).toEqual([]);
  expect(await use(FORMER)).toMatchObject({ use: "in_force" });
});

test("a turn that hangs ends with its own time, and the move with it", async () => {
  await serving();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 3_600_000, fails: false });
  await world.write("endless");
  await world.until(async () => (await world.live()).some((worker) => worker.load > 0));
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 1_000, fails: false });
  await world.addApp(NEXT);
  await world.apply(move(NEXT));
  await world.until(async () => (await use(FORMER)).use === "free", (await use(FORMER)).waitMs);
  expect(world.provider.living).toEqual([]);
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
});

test("while the former app cannot be reached its workers go on, and its rows are not believed to be gone", async () => {
  await serving();
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 120_000, fails: false });
  await world.write("long");
  await world.until(async () => (await world.live()).some((worker) => worker.load > 0));
  world.behaviours.set(imageOf("a"), { bootMs: 2_000, turnMs: 1_000, fails: false });
  await world.addApp(NEXT);
  world.provider.fault = () => ({ failure: { kind: "unreachable" }, acts: false });
  await world.apply(move(NEXT));
  await world.write("new");
  await world.until(
    async () => (await world.messages()).find((row) => row.conversationId === "new")?.status === "done",
  );
  await world.until(
    async () => (await world.messages()).find((row) => row.conversationId === "long")?.status === "done",
  );
  for (const message of await world.messages()) expect(message.attempts).toBe(1);
  const left = (await world.live()).filter((worker) => worker.appName === FORMER);
  expect(left.map(({ missingSince }) => missingSince)).toEqual(left.map(() => undefined));
  expect(left.length).toBeGreaterThan(0);
  expect(await world.alerts()).toContain("former_app");
  expect(await use(FORMER)).toMatchObject({ use: "leaving" });
  world.provider.fault = () => null;
  await world.until(async () => (await use(FORMER)).use === "free");
  expect(await world.alerts()).not.toContain("former_app");
  expect(world.provider.living).toEqual([]);
});

test("a machine of ours in the former app without a row is ended with that app's token before it counts as left", async () => {
  await serving();
  const { provider } = world;
  await provider.create({
    name: "w-lost",
    region: "iad",
    image: imageOf("a"),
    env: {},
    metadata: {
      factory_owner:
        (await world.t.run(async (ctx) => await ctx.db.query("runtimeConfig").first()))?.owner ?? "",
    },
    guest: { cpuKind: "shared", cpus: 1, memoryMb: 256 },
    killTimeoutMs: 5_000,
    volumeId: null,
    minSecretsVersion: null,
  });
  await world.addApp(NEXT);
  await world.apply(move(NEXT));
  await world.until(async () => (await phase()) === "done");
  await world.until(async () => (await use(FORMER)).use === "free");
  expect(provider.living).toEqual([]);
});
