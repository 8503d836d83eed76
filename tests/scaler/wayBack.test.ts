/** Messages that come while an idle worker is on its way into the warm pool. */
import { afterEach, expect, test, vi } from "vitest";
import { configOf, current, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

const made = (operation: string): number => world.provider.calls.filter((call) => call === operation).length;
const answered = async (): Promise<boolean> =>
  (await world.messages()).every((message) => message.status === "done");
const state = async (): Promise<string | undefined> => (await world.live())[0]?.state;

/** One worker that has answered and is told to rest as soon as its time is up. */
async function oneIdle(change: Parameters<typeof configOf>[0] = () => undefined): Promise<void> {
  world = await World.start(configOf(change));
  await world.write("c1");
  await world.until(answered, 30_000);
}
/** The answer to every rest is that it has to wait; until the returned function is called. */
function restsRefused(): () => void {
  world.provider.fault = (operation) =>
    operation === "suspend" ? { failure: { kind: "rate_limited", retryAfterMs: 20_000 }, acts: false } : null;
  return () => (world.provider.fault = () => null);
}

test("whom nobody has told yet goes on, without a call, and rests when nobody writes", async () => {
  await oneIdle();
  const accepted = restsRefused();
  await world.until(async () => (await state()) === "draining", 120_000);
  const before = world.provider.calls.length;
  await world.write("c2");
  await world.until(answered, 5_000);
  expect(world.provider.calls.slice(before)).not.toContain("create");
  expect(world.provider.calls.slice(before)).not.toContain("start");
  expect(await world.live()).toMatchObject([{ state: "active", turnsDone: 2 }]);
  accepted();
  await world.until(async () => (await state()) === "warm", 180_000);
  expect(world.provider.living).toMatchObject([{ state: "suspended" }]);
});

test("who is coming to rest is started as soon as it rests, and nothing is made", async () => {
  await oneIdle();
  await world.until(async () => world.provider.living[0]?.state === "suspended", 120_000);
  // The machine rests; the row does not know yet.
  expect(await state()).toBe("draining");
  await world.write("c2");
  await world.write("c3");
  await world.until(answered, 6_000);
  expect([made("create"), made("start")]).toEqual([1, 1]);
  expect((await world.decisions()).join("\n")).toContain("await the rest of 1");
});

test("a rest that takes too long is not waited for: another machine is made, once", async () => {
  await oneIdle();
  world.provider.suspending = true;
  await world.until(async () => world.provider.living[0]?.state === "suspending", 120_000);
  await world.write("c2");
  await world.advance(8_000);
  expect(made("create")).toBe(1);
  await world.until(answered, 10_000);
  expect(made("create")).toBe(2);
  world.provider.suspending = false;
  world.provider.machines.forEach((machine) => {
    if (machine.state === "suspending") machine.state = "suspended";
  });
  await world.until(async () => (await world.live()).every((row) => row.state === "warm"), 300_000);
});

test("after a rest whose answer was lost nobody is called back: the machine may be suspended at any moment", async () => {
  await oneIdle((config) => (config.scaling.reconcileIntervalMs = 60_000));
  world.provider.fault = (operation) =>
    operation === "suspend" ? { failure: { kind: "unknown" }, acts: false } : null;
  await world.until(async () => made("suspend") > 0, 120_000);
  world.provider.fault = () => null;
  await world.write("c2");
  await world.advance(500);
  const [row] = await world.live();
  expect(row?.state).not.toBe("active");
  await world.until(answered, 120_000);
});

test("a worker that is told to drain while it says goodbye is not called back", async () => {
  await oneIdle();
  const accepted = restsRefused();
  await world.until(async () => (await state()) === "draining", 120_000);
  const [row] = await world.live();
  await world.sayGoodbye(row?.workerId ?? "");
  await world.write("c2");
  await world.advance(2_000);
  expect((await world.live()).find(({ workerId }) => workerId === row?.workerId)?.state).not.toBe("active");
  accepted();
  await world.until(answered, 60_000);
});

test("at a ceiling of one the waiting message is answered by the one machine there is", async () => {
  await oneIdle((config) => (config.scaling.maxWorkers = 1));
  await world.until(async () => world.provider.living[0]?.state === "suspended", 120_000);
  expect(await state()).toBe("draining");
  await world.write("c2");
  await world.until(answered, 6_000);
  expect(made("create")).toBe(1);
});
