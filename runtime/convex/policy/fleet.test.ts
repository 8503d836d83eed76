import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planFleet } from "./fleet.ts";
import type { FleetFacts, FleetWorker } from "./fleetFacts.ts";

const NOW = 1_000_000;
let workersMade = 0;
const worker = (change: Partial<FleetWorker> = {}): FleetWorker => ({
  workerId: `w${++workersMade}`,
  state: "active",
  spec: "target",
  load: 0,
  healthy: true,
  idleUntil: NOW - 1,
  warmSince: null,
  machineState: "started",
  retireTo: null,
  wayBack: null,
  awaited: false,
  prewarm: false,
  ...change,
});
const facts = (workers: FleetWorker[], change: Partial<FleetFacts> = {}): FleetFacts => ({
  workers,
  mode: "steady",
  desired: 0,
  maxWorkers: 3,
  orphans: 0,
  warm: { keep: 1, prepare: 0 },
  canariesWanted: 0,
  canariesServeAll: true,
  replaceAtOnceMax: 1,
  blockedBy: null,
  spendReached: false,
  retired: false,
  ...change,
});
const warm = (change: Partial<FleetWorker> = {}) =>
  worker({
    state: "warm",
    machineState: "stopped",
    warmSince: 1,
    idleUntil: null,
    healthy: false,
    ...change,
  });
const steps = (workers: FleetWorker[], change: Partial<FleetFacts> = {}) =>
  planFleet(facts(workers, change), NOW).steps;
const count = (workers: FleetWorker[], change: Partial<FleetFacts>, kind: string): number =>
  steps(workers, change).filter((step) => step.do === kind).length;

describe("the ceiling", () => {
  test("workers on their way out still count until they are gone", () => {
    const leaving = [worker({ state: "stopping" }), worker({ state: "draining", load: 1 })];
    expect(count(leaving, { desired: 3 }, "new")).toBe(1);
  });

  test("machines of ours without a row count", () => {
    expect(count([], { desired: 3, orphans: 2 }, "new")).toBe(1);
    expect(count([], { desired: 3, orphans: 5 }, "new")).toBe(0);
  });

  test("what cannot be had is said, with the reason", () => {
    const plan = planFleet(facts([worker({ state: "stopping" })], { desired: 3 }), NOW);
    expect(plan).toMatchObject({ short: 1, shortBecause: "ceiling 3 reached" });
    const blocked = planFleet(facts([], { desired: 2, blockedBy: "Fly refuses" }), NOW);
    expect(blocked).toMatchObject({ steps: [], short: 2, shortBecause: "Fly refuses" });
  });

  test("no facts whatever bring more machines than maxWorkers", () => {
    const state = fc.constantFrom(
      "creating",
      "active",
      "draining",
      "stopping",
      "warm",
    ) satisfies fc.Arbitrary<FleetWorker["state"]>;
    const anyWorker = fc.record({
      state,
      spec: fc.constantFrom<FleetWorker["spec"]>("target", "stable", "other"),
      load: fc.integer({ min: 0, max: 3 }),
      healthy: fc.boolean(),
      idleUntil: fc.option(fc.integer({ min: NOW - 5, max: NOW + 5 })),
      prewarm: fc.boolean(),
      awaited: fc.boolean(),
      wayBack: fc.constantFrom<FleetWorker["wayBack"]>(
        null,
        { how: "recall" },
        { how: "await", until: NOW + 5_000 },
      ),
    });
    const anyFacts = fc.record({
      mode: fc.constantFrom<FleetFacts["mode"]>("steady", "gating", "replacing"),
      maxWorkers: fc.integer({ min: 1, max: 6 }),
      wanted: fc.integer({ min: 0, max: 10 }),
      orphans: fc.integer({ min: 0, max: 3 }),
      canariesWanted: fc.integer({ min: 0, max: 4 }),
      canariesServeAll: fc.boolean(),
      keep: fc.integer({ min: 0, max: 4 }),
      prepare: fc.integer({ min: 0, max: 4 }),
      replaceAtOnceMax: fc.integer({ min: 1, max: 3 }),
      spendReached: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyWorker, { maxLength: 8 }), anyFacts, (rows, drawn) => {
        const workers = rows.map((row) =>
          worker({
            ...row,
            ...(row.state === "warm" ? { healthy: false, load: 0 } : {}),
            ...(row.state === "draining" ? {} : { wayBack: null, awaited: false }),
          }),
        );
        const { wanted, keep, prepare, ...rest } = drawn;
        const desired = Math.min(drawn.maxWorkers, wanted);
        const plan = planFleet(facts(workers, { ...rest, desired, warm: { keep, prepare } }), NOW);
        const added = plan.steps.filter((step) => step.do === "new").length;
        const before = workers.length + drawn.orphans;
        expect(added).toBeLessThanOrEqual(Math.max(0, drawn.maxWorkers - before));
        // Nothing is made to serve while a machine that there is could.
        const unused = workers.filter(
          ({ spec, wayBack, awaited }) =>
            spec === "target" && (wayBack?.how === "recall" || (wayBack?.how === "await" && !awaited)),
        ).length;
        const used = plan.steps.filter((step) => ["recall", "await"].includes(step.do)).length;
        if (
          plan.steps.some(
            (step) => step.do === "new" && !step.canary && !step.prewarm && step.spec === "target",
          )
        )
          expect(used).toBe(unused);
        // No worker is asked for two things at once, and none that works is ended at once.
        const named = plan.steps.flatMap((step) => ("workerId" in step ? [step.workerId] : []));
        expect(new Set(named).size).toBe(named.length);
        for (const step of plan.steps) {
          if (step.do !== "end") continue;
          expect(workers.find((row) => row.workerId === step.workerId)?.state).not.toBe("active");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("growing", () => {
  test("a suspended worker is started before a stopped one, and both before a new one is made", () => {
    const stopped = warm();
    const suspended = warm({ machineState: "suspended" });
    expect(steps([stopped, suspended], { desired: 3, warm: { keep: 2, prepare: 0 } })).toEqual([
      { do: "start", workerId: suspended.workerId },
      { do: "start", workerId: stopped.workerId },
      { do: "new", spec: "target", canary: false, prewarm: false },
    ]);
  });

  describe("with workers on their way to rest", () => {
    const leaving = (wayBack: FleetWorker["wayBack"], change: Partial<FleetWorker> = {}) =>
      worker({ state: "draining", retireTo: "warm", healthy: false, wayBack, ...change });
    const untold = () => leaving({ how: "recall" });
    const told = (until: number, change: Partial<FleetWorker> = {}) =>
      leaving({ how: "await", until }, change);

    test("those that do not know yet go on first, even while the provider refuses", () => {
      const [a, b, rested] = [untold(), told(NOW + 5), warm()];
      const plan = planFleet(facts([b, rested, a], { desired: 1, blockedBy: "Fly refuses" }), NOW);
      expect(plan).toMatchObject({ steps: [{ do: "recall", workerId: a.workerId }], short: 0 });
    });

    test("then those at rest start, then those about to rest are waited for, and nothing is made", () => {
      const [a, b, rested] = [untold(), told(NOW + 5), warm()];
      expect(planFleet(facts([b, rested, a], { desired: 3 }), NOW)).toEqual({
        steps: [
          { do: "recall", workerId: a.workerId },
          { do: "start", workerId: rested.workerId },
          { do: "await", workerId: b.workerId, until: NOW + 5 },
        ],
        short: 0,
        shortBecause: null,
        checkAt: NOW + 5,
      });
    });

    test("who is awaited already is asked for once, and looked at again in time", () => {
      const plan = planFleet(facts([told(NOW + 5, { awaited: true })], { desired: 1 }), NOW);
      expect(plan).toEqual({ steps: [], short: 0, shortBecause: null, checkAt: NOW + 5 });
    });

    test("more are made only beyond them, and beyond a rest that takes too long", () => {
      expect(count([told(NOW + 5)], { desired: 2 }, "new")).toBe(1);
      expect(count([leaving(null)], { desired: 1 }, "new")).toBe(1);
    });

    test("nobody is called back whom nobody needs, nor one of another image, nor as a canary", () => {
      expect(steps([untold(), told(NOW + 5)], { desired: 0, warm: { keep: 2, prepare: 0 } })).toEqual([]);
      const old = leaving({ how: "recall" }, { spec: "stable" });
      expect(steps([old], { mode: "replacing", desired: 1 })).toMatchObject([{ do: "new", spec: "target" }]);
      expect(steps([untold()], { mode: "gating", canariesWanted: 1 })).toMatchObject([
        { do: "new", canary: true },
      ]);
    });

    test("none is called back at the spend ceiling or by a stack that is destroyed", () => {
      for (const change of [{ spendReached: true }, { retired: true }])
        expect(steps([untold(), told(NOW + 5)], { desired: 2, blockedBy: "no", ...change })).toEqual([]);
    });
  });

  test("one that boots for the warm pool serves instead, and the pool gets another", () => {
    const booting = worker({ state: "creating", prewarm: true, healthy: false });
    expect(steps([booting], { desired: 1, warm: { keep: 1, prepare: 1 } })).toEqual([
      { do: "serve", workerId: booting.workerId },
      { do: "new", spec: "target", canary: false, prewarm: true },
    ]);
  });

  test("a worker under suspicion is not counted on", () => {
    expect(count([worker({ healthy: false, load: 1 })], { desired: 1 }, "new")).toBe(1);
  });
});

describe("shrinking", () => {
  test("only as many idle workers go as are too many, the longest idle first", () => {
    const [a, b] = [worker({ idleUntil: NOW - 1 }), worker({ idleUntil: NOW - 9 })];
    expect(steps([a, b], { desired: 1 })).toEqual([
      { do: "drain", workerId: b.workerId, to: "warm", why: "idle" },
    ]);
  });

  test("a worker with a turn in hand is never chosen for being idle", () => {
    expect(steps([worker({ load: 1 }), worker({ load: 2 })], { desired: 0 })).toEqual([]);
  });

  test("before its time is up an idle worker stays, and the time is named", () => {
    const plan = planFleet(facts([worker({ idleUntil: NOW + 500 })]), NOW);
    expect(plan).toMatchObject({ steps: [], checkAt: NOW + 500 });
  });

  test("what finds no place in the warm pool ends", () => {
    const rested = warm();
    const idle = worker();
    expect(steps([rested, idle])).toEqual([{ do: "drain", workerId: idle.workerId, to: "end", why: "idle" }]);
  });
});

describe("a rollout", () => {
  test("while the gate is open new capacity has the former spec, and the canary is new", () => {
    expect(steps([], { mode: "gating", desired: 2, canariesWanted: 1 })).toEqual([
      { do: "new", spec: "target", canary: true, prewarm: false },
      { do: "new", spec: "stable", canary: false, prewarm: false },
    ]);
  });

  test("at the ceiling one idle worker makes way for the canary, and not a second one meanwhile", () => {
    const old = [worker({ spec: "stable", load: 1 }), worker({ spec: "stable" })];
    const made = steps(old, { mode: "gating", desired: 1, maxWorkers: 2, canariesWanted: 1 });
    expect(made).toMatchObject([{ do: "drain", workerId: old[1]?.workerId, to: "end" }]);
    const leaving = [worker({ spec: "stable", load: 1 }), worker({ spec: "stable", state: "stopping" })];
    expect(steps(leaving, { mode: "gating", desired: 1, maxWorkers: 2, canariesWanted: 1 })).toEqual([]);
  });

  test("a canary is not ended for being idle", () => {
    expect(steps([worker({ spec: "target" })], { mode: "gating", canariesWanted: 1 })).toEqual([]);
  });

  test("replacing brings the new worker before the old one goes", () => {
    const old = [worker({ spec: "stable", load: 1 }), worker({ spec: "stable", load: 1 })];
    expect(steps(old, { mode: "replacing", desired: 2 })).toEqual([
      { do: "new", spec: "target", canary: false, prewarm: false },
    ]);
    const replaced = [...old, worker({ spec: "target" })];
    expect(count(replaced, { mode: "replacing", desired: 2 }, "drain")).toBe(1);
  });

  test("at most replaceAtOnceMax go at once", () => {
    const old = Array.from({ length: 4 }, () => worker({ spec: "stable", idleUntil: NOW + 1 }));
    const change = { mode: "replacing" as const, maxWorkers: 9 };
    expect(count(old, { ...change, replaceAtOnceMax: 2 }, "drain")).toBe(2);
    const leaving = [...old.slice(0, 3), worker({ spec: "stable", state: "draining", load: 1 })];
    expect(count(leaving, { ...change, replaceAtOnceMax: 2 }, "drain")).toBe(1);
  });

  test("workers of an image that was rolled back go at once", () => {
    expect(
      count([worker({ spec: "other" }), worker({ spec: "other", load: 1 })], { desired: 2 }, "drain"),
    ).toBe(2);
  });
});

test("with the day's machine time used up, what finds no place in the warm pool ends", () => {
  const workers = [warm(), worker(), worker({ load: 1 })];
  expect(steps(workers, { spendReached: true, warm: { keep: 2, prepare: 0 } })).toMatchObject([
    { do: "drain", to: "warm" },
    { do: "drain", to: "end" },
  ]);
});

test("a retired fleet ends whatever is idle, rests or boots, drains what works, and makes nothing", () => {
  const [resting, booting, idle, busy] = [
    warm(),
    worker({ state: "creating", healthy: false }),
    worker(),
    worker({ load: 2 }),
  ];
  const leaving = worker({ state: "draining", load: 1, retireTo: "end" });
  const plan = planFleet(
    facts([resting, booting, idle, busy, leaving], {
      retired: true,
      blockedBy: "the stack is being destroyed",
      desired: 3,
      warm: { keep: 5, prepare: 5 },
      maxWorkers: 9,
    }),
    NOW,
  );
  const why = "the stack is being destroyed";
  expect(plan).toEqual({
    steps: [
      { do: "end", workerId: resting.workerId, why },
      { do: "end", workerId: booting.workerId, why },
      { do: "drain", workerId: idle.workerId, to: "end", why },
      { do: "drain", workerId: busy.workerId, to: "end", why },
    ],
    short: 3,
    shortBecause: why,
    checkAt: null,
  });
});

test("with the day's machine time used up nothing is made and whoever works finishes and goes", () => {
  const busy = worker({ load: 2 });
  expect(steps([busy], { desired: 3, spendReached: true, blockedBy: "used up" })).toEqual([
    { do: "drain", workerId: busy.workerId, to: "warm", why: "the day's machine-hours are used up" },
  ]);
});
