import { expect, test } from "vitest";
import { parseRuntimeConfig, type RuntimeConfigInput } from "../../runtime/convex/policy/runtimeConfig.ts";
import { dayOfTraffic, type Turn } from "./dayTraffic.ts";
import { oracleMachineSeconds, simulateDay } from "./fleetDay.ts";

const times = { bootMs: 10_000, resumeMs: 1_000, restMs: 0 };
const scaling = (change: RuntimeConfigInput["scaling"] = {}) => {
  const parsed = parseRuntimeConfig({
    provider: {
      appName: "app",
      organizationSlug: "org",
      image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
      regions: ["fra"],
      guest: {},
    },
    scaling: { jobsPerWorker: 2, idleTimeoutMs: 60_000, ...change },
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config.scaling;
};
const turn = (conversation: number, atS: number, turnS: number): Turn => ({
  conversation,
  at: atS * 1_000,
  turnMs: turnS * 1_000,
});
const simulate = (traffic: Turn[], change: RuntimeConfigInput["scaling"] = {}) =>
  simulateDay(traffic, scaling(change), times, 0);

test("one message costs a boot, its turn and the idle time after its claim", () => {
  const day = simulate([turn(1, 100, 30)]);
  expect(day).toMatchObject({ machineSeconds: 70, machinesMax: 1, creates: 1, starts: 0, waitsMs: [10_000] });
  expect(oracleMachineSeconds([turn(1, 100, 30)], 2, times)).toBe(40);
});

test("the next sitting resumes the machine that rests", () => {
  const day = simulate([turn(1, 100, 30), turn(1, 1_000, 30)]);
  expect(day).toMatchObject({ creates: 1, starts: 1, waitsMs: [1_000, 10_000] });
});

test("a message that comes while the machine comes to rest waits for that, is billed for it, and makes no other", () => {
  // Claimed at 110 s, idle for 60 s, then 4 s on its way.
  const traffic = [turn(1, 100, 30), turn(1, 171, 30)];
  const day = simulateDay(traffic, scaling(), { ...times, restMs: 4_000 }, 0);
  expect(day).toMatchObject({ creates: 1, starts: 1, kept: 1, waitsMs: [4_000, 10_000] });
});

test("messages of one conversation follow each other on one machine, and nobody who waits for himself waits for us", () => {
  const day = simulate([turn(1, 100, 30), turn(1, 101, 30), turn(1, 102, 30)]);
  expect(day).toMatchObject({ creates: 1, machinesMax: 1 });
  expect(day.waitsMs).toEqual([0, 0, 10_000]);
});

test("the oracle keeps a machine through a gap that costs less than a boot, and no longer", () => {
  expect(oracleMachineSeconds([turn(1, 0, 10), turn(1, 15, 10)], 2, times)).toBe(10 + 10 + 5 + 10);
  expect(oracleMachineSeconds([turn(1, 0, 10), turn(1, 500, 10)], 2, times)).toBe(10 + 10 + 10 + 10);
  // Three turns at once need a second machine of two slots.
  expect(oracleMachineSeconds([turn(1, 0, 10), turn(2, 0, 10), turn(3, 0, 10)], 2, times)).toBe(40);
});

test("the same seed is the same day; every message is served, and never below the oracle's cost", () => {
  const traffic = dayOfTraffic(7, 30, 2);
  expect(dayOfTraffic(7, 30, 2)).toEqual(traffic);
  expect(traffic).toHaveLength(300);
  const day = simulate(traffic);
  expect(day.waitsMs).toHaveLength(traffic.length);
  expect(day.machineSeconds).toBeGreaterThan(oracleMachineSeconds(traffic, 2, times));
  expect(day.machinesMax).toBeLessThanOrEqual(5);
});
