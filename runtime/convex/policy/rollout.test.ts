import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideRollout, type RolloutFacts, type RolloutPhase, wantedCanaries } from "./rollout.ts";
import type { RuntimeConfig } from "./runtimeConfig.ts";

const NOW = 1_000_000;
const policy: RuntimeConfig["rollout"] = {
  canaryWorkers: 1,
  canaryPercent: 0,
  canaryAgentKeys: [],
  replaceAtOnceMax: 1,
  gateTimeoutMs: 60_000,
  gateTurnsMin: 3,
  gateObserveMs: 30_000,
  failureRateMax: 0.34,
};
const facts = (phase: RolloutPhase, change: Partial<RolloutFacts> = {}): RolloutFacts => ({
  phase,
  startedAt: NOW - 10_000,
  phaseAt: NOW - 5_000,
  readyCanaries: 0,
  wantedCanaries: 1,
  bootFailures: 0,
  lastBootFailure: null,
  turnsDone: 0,
  turnsFailed: 0,
  outdatedWorkers: 2,
  blockedBy: null,
  ...change,
});
const decide = (
  phase: RolloutPhase,
  change: Partial<RolloutFacts> = {},
  rules: Partial<typeof policy> = {},
) => decideRollout(facts(phase, change), { ...policy, ...rules }, NOW);

describe("how many canaries", () => {
  test.each<[number, number, number, number, number]>([
    [1, 0, 0, 5, 1],
    [1, 20, 10, 50, 2],
    [1, 20, 11, 50, 3],
    [3, 20, 5, 50, 3],
    [4, 0, 9, 2, 2],
    [1, 100, 7, 50, 7],
  ])(
    "%i fixed or %i %% of %i active workers, at most %i: %i",
    (canaryWorkers, canaryPercent, active, max, wanted) => {
      expect(wantedCanaries({ ...policy, canaryWorkers, canaryPercent }, active, max)).toBe(wanted);
    },
  );
});

describe("canary", () => {
  test("waits for the canaries until the gate's time, then watches them", () => {
    expect(decide("canary")).toEqual({ step: "stay", checkAt: NOW + 50_000 });
    expect(decide("canary", { readyCanaries: 1 })).toEqual({ step: "observe" });
    expect(decide("canary", { readyCanaries: 1, wantedCanaries: 2 })).toMatchObject({ step: "stay" });
  });

  test("one failed boot is tried again, two end it with the reason", () => {
    expect(decide("canary", { bootFailures: 1 })).toMatchObject({ step: "stay" });
    expect(decide("canary", { bootFailures: 2, lastBootFailure: "w-1: exit 1" })).toEqual({
      step: "roll_back",
      reason: "2 workers with the new image did not come up: w-1: exit 1",
    });
  });

  test("the gate's time ends it, and what stood in the way is said", () => {
    const late = { startedAt: NOW - 60_000 };
    expect(decide("canary", late)).toEqual({
      step: "roll_back",
      reason: "0 of 1 canary workers were ready within 60 s",
    });
    expect(decide("canary", { ...late, blockedBy: "no room" })).toMatchObject({
      reason: "0 of 1 canary workers were ready within 60 s (no room)",
    });
  });
});

describe("observing", () => {
  test("enough turns decide at once, by their failure rate", () => {
    expect(decide("observing", { turnsDone: 2 })).toEqual({ step: "stay", checkAt: NOW + 25_000 });
    expect(decide("observing", { turnsDone: 3 })).toMatchObject({ step: "promote" });
    expect(decide("observing", { turnsDone: 2, turnsFailed: 1 })).toMatchObject({ step: "promote" });
    expect(decide("observing", { turnsDone: 1, turnsFailed: 2 })).toEqual({
      step: "roll_back",
      reason: "2 of 3 turns failed on the new workers (limit 34 %)",
    });
  });

  test("nobody writes: promoted when the time is over; nothing is concluded from one failure among few", () => {
    const over = { phaseAt: NOW - 30_000 };
    expect(decide("observing", over)).toEqual({
      step: "promote",
      reason: "booted and answered its probe turn; nobody wrote meanwhile",
    });
    expect(decide("observing", { ...over, turnsDone: 1, turnsFailed: 1 })).toMatchObject({ step: "promote" });
    expect(decide("observing", { ...over, turnsFailed: 1 })).toEqual({
      step: "roll_back",
      reason: "no turn succeeded on the new workers, 1 failed",
    });
  });

  test("canaries that die while they are watched end it", () => {
    expect(decide("observing", { bootFailures: 2, turnsDone: 9 })).toMatchObject({ step: "roll_back" });
  });

  test("a gate of no turns promotes as soon as the canary is ready, unless its first turn failed", () => {
    expect(decide("observing", {}, { gateTurnsMin: 0 })).toMatchObject({ step: "promote" });
    expect(decide("observing", { turnsFailed: 1 }, { gateTurnsMin: 0 })).toMatchObject({ step: "roll_back" });
  });
});

describe("replacing", () => {
  test("goes on until no worker is of the former spec", () => {
    expect(decide("replacing")).toEqual({ step: "stay", checkAt: null });
    expect(decide("replacing", { outdatedWorkers: 0 })).toEqual({ step: "finish" });
  });

  test("turns that begin to fail still roll it back, also at the very end", () => {
    const failing = { turnsDone: 4, turnsFailed: 6 };
    expect(decide("replacing", failing)).toMatchObject({ step: "roll_back" });
    expect(decide("replacing", { ...failing, outdatedWorkers: 0 })).toMatchObject({ step: "roll_back" });
  });
});

test.each<RolloutPhase>(["done", "rolled_back", "superseded"])("%s is an end, whatever is known", (phase) => {
  const worst = { bootFailures: 9, turnsFailed: 9, outdatedWorkers: 0, startedAt: 0 };
  expect(decide(phase, worst)).toEqual({ step: "stay", checkAt: null });
});

test("an open gate always ends: at the time it names, another step than staying is taken", () => {
  const count = fc.integer({ min: 0, max: 5 });
  fc.assert(
    fc.property(
      fc.constantFrom<RolloutPhase>("canary", "observing"),
      fc.record({ turnsDone: count, turnsFailed: count, readyCanaries: count, bootFailures: count }),
      count,
      (phase, drawn, gateTurnsMin) => {
        const rules = { ...policy, gateTurnsMin };
        const step = decideRollout(facts(phase, drawn), rules, NOW);
        if (step.step !== "stay") return;
        expect(step.checkAt).not.toBeNull();
        expect(decideRollout(facts(phase, drawn), rules, step.checkAt ?? 0).step).not.toBe("stay");
      },
    ),
  );
});
