/** What people are told while their messages wait, and what the loop does meanwhile. */
import { afterEach, expect, test, vi } from "vitest";
import { configOf, current, imageOf, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

const DAY_MS = 86_400_000;
const chat = async (conversation: string, chatId: string): Promise<unknown> =>
  await world.write(conversation, "hello", "default", chatId);
const said = async (reason: string): Promise<string[]> =>
  (await world.notices()).filter((line) => line.startsWith(`${reason}: `)).sort();

/** One machine-minute a day, and a turn that takes longer. */
const startSpent = async (): Promise<void> => {
  world = await World.start(configOf((config) => (config.spend.machineHoursPerDayMax = 1 / 60)));
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 90_000, fails: false });
  await world.write("first");
  await world.until(async () => (await world.alerts()).includes("spend"), 300_000);
  await world.until(async () => (await world.live()).every((row) => row.state === "warm"), 300_000);
};

test("at the spend ceiling each sender is told once, however many messages follow", async () => {
  await startSpent();
  for (const text of ["one", "two", "three"]) {
    await world.write("c1", text, "default", "11");
    await world.advance(20_000, 1_000);
  }
  await chat("c2", "12");
  // A consumer app has no chat: it sees the message's state.
  await world.write("c3");
  await world.advance(600_000, 10_000);
  expect(await said("spend")).toEqual(["spend: c1", "spend: c2"]);
});

test("at the spend ceiling everybody of a crowd that writes in the same moment is told", async () => {
  await startSpent();
  const crowd = Array.from({ length: 40 }, (_, i) => `c${10 + i}`);
  for (const [i, conversation] of crowd.entries()) await chat(conversation, `${100 + i}`);
  const messages = (await world.messages()).filter(({ conversationId }) => crowd.includes(conversationId));
  expect(new Set(messages.map(({ dueAt }) => dueAt)).size).toBe(1);
  await world.advance(60_000, 1_000);
  expect(await said("spend")).toEqual(crowd.map((conversation) => `spend: ${conversation}`));
});

test("at the next day's ceiling they are told again", async () => {
  await startSpent();
  await chat("c1", "11");
  await world.advance(60_000, 1_000);
  expect(await said("spend")).toEqual(["spend: c1"]);
  await world.advance(DAY_MS - (Date.now() % DAY_MS) - 60_000, 600_000);
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
  await world.until(async () => (await world.alerts()).includes("spend"), 300_000);
  await chat("c1", "11");
  await world.advance(60_000, 1_000);
  expect(await said("spend")).toEqual(["spend: c1", "spend: c1"]);
});

test("who waits at the spend ceiling costs no listing before the day ends", async () => {
  world = await World.start(
    configOf((config) => {
      config.spend.machineHoursPerDayMax = 1 / 60;
      config.scaling.warmPool.mode = "none";
    }),
  );
  world.behaviours.set(imageOf("a"), { bootMs: 1_000, turnMs: 90_000, fails: false });
  await world.write("first");
  await world.until(async () => (await world.alerts()).includes("spend"), 300_000);
  await world.until(async () => (await world.live()).length === 0, 300_000);
  await chat("c1", "11");
  await world.advance(60_000, 1_000);
  const calls = world.provider.calls.length;
  await world.advance(3_600_000, 60_000);
  expect(world.provider.calls.length).toBe(calls);
});

test("a want of capacity that lasts is told to each sender once, and again only after it was over", async () => {
  world = await World.start();
  world.provider.fullRegions.add("iad").add("fra");
  await chat("c1", "11");
  await world.advance(150_000, 1_000);
  expect(await said("capacity")).toEqual([]);
  await world.advance(400_000, 5_000);
  await world.write("c1", "still there?", "default", "11");
  await world.advance(1_200_000, 5_000);
  expect(await said("capacity")).toEqual(["capacity: c1"]);

  world.provider.fullRegions.clear();
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
  await world.until(async () => (await world.live()).every((row) => row.state === "warm"), 300_000);
  world.provider.fault = (operation) =>
    operation === "start" ? { failure: { kind: "quota" }, acts: false } : null;
  await chat("c1", "11");
  await world.advance(1_200_000, 5_000);
  expect(await said("capacity")).toEqual(["capacity: c1", "capacity: c1"]);
});

test("a message that is answered within a start's time says nothing but its answer", async () => {
  world = await World.start(configOf((config) => (config.scaling.maxWorkers = 1)));
  for (let i = 0; i < 8; i++) await chat(`c${i}`, `${i}`);
  await world.until(async () => (await world.messages()).every((message) => message.status === "done"));
  expect([...(await said("capacity")), ...(await said("spend"))]).toEqual([]);
});

test("workers that never come up are made ever more seldom, told of, and made at once when it is mended", async () => {
  world = await World.start();
  world.behaviours.set(imageOf("a"), { bootMs: null, turnMs: 0, fails: false });
  await chat("c1", "11");
  await world.advance(1_800_000, 1_000);
  const creates = world.provider.calls.filter((call) => call === "create").length;
  // Three soon, then with pauses that double up to five minutes: 10, 20, 40, 80, 160, 300, 300, 300, 300 s.
  expect(creates).toBeGreaterThanOrEqual(9);
  expect(creates).toBeLessThanOrEqual(12);
  expect(await world.alerts()).toContain("boot");
  expect((await world.decisions()).join("\n")).toMatch(/1 short: the last \d+ workers did not come up/);
  expect(await said("capacity")).toEqual(["capacity: c1"]);

  world.behaviours.set(imageOf("b"), { bootMs: 1_000, turnMs: 1_000, fails: false });
  await world.apply(configOf((config) => (config.provider.image = imageOf("b"))));
  await world.until(
    async () => (await world.messages()).every((message) => message.status === "done"),
    30_000,
  );
  expect(await world.alerts()).not.toContain("boot");
});
