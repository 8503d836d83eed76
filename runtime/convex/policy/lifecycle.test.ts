import { describe, expect, test } from "vitest";
import {
  type LifecycleLimits,
  nextWorkerStep,
  ORDER_ATTEMPTS_MAX,
  REST_PATIENCE_MS,
  wayBack,
  type WorkerFacts,
} from "./lifecycle.ts";
import { cellOf, machineStates, readMachineState, type WorkerState } from "./machineStates.ts";

const NOW = 10_000_000;
const limits: LifecycleLimits = {
  bootTimeoutMs: 60_000,
  missingMachineGraceMs: 90_000,
  lostAfterMs: { working: 35_000, idle: 75_000 },
  suspectForMs: 45_000,
  stoppedTtlMs: 3_600_000,
  silenceCountsFrom: 0,
};
const base = (state: WorkerState): WorkerFacts => ({
  workerId: "w1",
  state,
  machineId: "m1",
  listed: null,
  load: 0,
  createdAt: NOW - 30_000,
  bootStartedAt: NOW - 30_000,
  readyAt: state === "creating" ? null : NOW - 20_000,
  lastSeenAt: NOW - 1_000,
  idleUntil: null,
  drainDeadlineAt: state === "draining" ? NOW + 10_000 : null,
  retireTo: state === "draining" ? "warm" : state === "stopping" ? "end" : null,
  leaving: false,
  awaitedUntil: null,
  missingSince: null,
  suspectSince: null,
  warmSince: state === "warm" ? NOW - 30_000 : null,
  orderedAt: null,
  begunAt: null,
  attempts: 0,
  notBefore: 0,
});
const step = (state: WorkerState, change: Partial<WorkerFacts> = {}) =>
  nextWorkerStep({ ...base(state), ...change }, limits, NOW);

const workerStates: WorkerState[] = ["creating", "active", "draining", "stopping", "warm", "stopped"];

/** What is done at once about every pair, with ordinary times: the table as a person reads it. */
const expected: Record<WorkerState, string> = {
  creating:
    "created:wait creating:wait starting:wait started:wait restarting:wait updating:wait replacing:wait stopping:wait stopped:lose suspending:wait suspended:lose failed:lose launch_failed:lose destroying:lose destroyed:close replaced:close migrated:close other:wait missing:note_missing",
  active:
    "created:wait creating:wait starting:wait started:wait restarting:wait updating:wait replacing:wait stopping:wait stopped:lose suspending:lose suspended:lose failed:lose launch_failed:lose destroying:lose destroyed:close replaced:close migrated:close other:wait missing:note_missing",
  draining:
    "created:rest creating:rest starting:rest started:rest restarting:rest updating:rest replacing:rest stopping:wait stopped:rested suspending:wait suspended:rested failed:destroy launch_failed:destroy destroying:destroy destroyed:close replaced:close migrated:close other:rest missing:note_missing",
  stopping:
    "created:destroy creating:destroy starting:destroy started:destroy restarting:destroy updating:destroy replacing:destroy stopping:destroy stopped:destroy suspending:destroy suspended:destroy failed:destroy launch_failed:destroy destroying:verify destroyed:close replaced:close migrated:close other:destroy missing:note_missing",
  warm: "created:wait creating:wait starting:wait started:rest restarting:wait updating:wait replacing:wait stopping:wait stopped:wait suspending:wait suspended:wait failed:destroy launch_failed:destroy destroying:destroy destroyed:close replaced:close migrated:close other:wait missing:note_missing",
  stopped:
    "created:wait creating:wait starting:wait started:wait restarting:wait updating:wait replacing:wait stopping:wait stopped:wait suspending:wait suspended:wait failed:wait launch_failed:wait destroying:wait destroyed:wait replaced:wait migrated:wait other:wait missing:wait",
};

describe("every worker state × every machine state", () => {
  test.each(workerStates)("%s", (state) => {
    const done = machineStates.map((listed) => `${listed}:${step(state, { listed }).do}`).join(" ");
    expect(done).toBe(expected[state]);
  });

  test("a state that Fly invents tomorrow is read as other, and has an answer everywhere", () => {
    expect(readMachineState("hibernating")).toBe("other");
    for (const state of workerStates) expect(cellOf(state, "other")).toBeDefined();
  });

  test("a machine without a row is an orphan unless it is over or on its way out", () => {
    const orphans = machineStates.filter((machine) => cellOf("stopped", machine) === "orphan");
    expect(machineStates.filter((machine) => !orphans.includes(machine))).toEqual([
      "destroying",
      "destroyed",
      "replaced",
      "migrated",
      "missing",
    ]);
  });
});

describe("creating", () => {
  const fresh = { machineId: null, bootStartedAt: null };

  test("a row without a machine asks for it", () => {
    expect(step("creating", fresh)).toEqual({ do: "create" });
  });

  test("an unanswered create waits for a listing, whose machine is adopted and whose absence means: ask again", () => {
    const begun = { ...fresh, begunAt: NOW - 1_000 };
    expect(step("creating", begun)).toEqual({ do: "wait", checkAt: NOW });
    expect(step("creating", { ...begun, listed: "started" })).toEqual({ do: "adopt" });
    expect(step("creating", { ...begun, listed: "missing" })).toEqual({ do: "create" });
  });

  test("after too many creates the row is closed, but not before a late machine could have appeared", () => {
    const tried = { ...fresh, attempts: ORDER_ATTEMPTS_MAX, listed: "missing" as const };
    expect(step("creating", { ...tried, begunAt: NOW - 1_000 })).toMatchObject({ do: "wait" });
    expect(step("creating", { ...tried, begunAt: NOW - 90_000 })).toMatchObject({ do: "close" });
  });

  test("a boot that takes too long is a failed boot", () => {
    expect(step("creating", { bootStartedAt: NOW - 60_000 })).toMatchObject({ do: "lose", bootFailed: true });
  });

  test("a warm worker that is being started may still be listed at rest for a moment", () => {
    expect(step("creating", { listed: "stopped", bootStartedAt: NOW - 1_000 })).toMatchObject({ do: "wait" });
    expect(step("creating", { listed: "stopped", bootStartedAt: null })).toEqual({ do: "start" });
  });
});

describe("active", () => {
  test("a working worker is lost when it is silent for longer than its leases can bear", () => {
    expect(step("active", { load: 1, lastSeenAt: NOW - 34_999 })).toEqual({ do: "wait", checkAt: NOW + 1 });
    expect(step("active", { load: 1, lastSeenAt: NOW - 35_000 })).toMatchObject({
      do: "lose",
      planned: false,
    });
  });

  test("an idle worker is watched before it is believed lost, and its next sign clears it", () => {
    const silent = { lastSeenAt: NOW - 80_000 };
    expect(step("active", silent)).toEqual({ do: "suspect" });
    expect(step("active", { ...silent, suspectSince: NOW - 44_999 })).toEqual({
      do: "wait",
      checkAt: NOW + 1,
    });
    expect(step("active", { ...silent, suspectSince: NOW - 45_000 })).toMatchObject({ do: "lose" });
    expect(step("active", { lastSeenAt: NOW, suspectSince: NOW - 45_000 })).toEqual({ do: "clear_suspect" });
  });

  test("silence while the backend was away says nothing", () => {
    const away = { ...limits, silenceCountsFrom: NOW - 1_000 };
    const silent = { ...base("active"), load: 1, lastSeenAt: NOW - 600_000 };
    expect(nextWorkerStep(silent, away, NOW)).toEqual({ do: "wait", checkAt: NOW + 34_000 });
  });

  test("a machine missing from a listing is looked at only after the grace, and gone only by a 404", () => {
    const missing = { listed: "missing" as const };
    expect(step("active", missing)).toEqual({ do: "note_missing" });
    expect(step("active", { ...missing, missingSince: NOW - 89_999 })).toEqual({
      do: "wait",
      checkAt: NOW + 1,
    });
    expect(step("active", { ...missing, missingSince: NOW - 90_000 })).toEqual({ do: "verify" });
    expect(step("active", { listed: "started", missingSince: NOW - 1 })).toEqual({ do: "note_found" });
  });
});

describe("a worker that is ready before its create was answered", () => {
  const unknown = { machineId: null, begunAt: NOW - 200_000, listed: "missing" as const };

  test("is not closed while it beats, even when listings lack its machine", () => {
    expect(step("active", unknown)).toMatchObject({ do: "wait" });
    expect(step("active", { ...unknown, load: 1 })).toMatchObject({ do: "wait" });
  });

  test("is lost when it falls silent, and adopted when it is listed", () => {
    expect(step("active", { ...unknown, load: 1, lastSeenAt: NOW - 35_000 })).toMatchObject({ do: "lose" });
    expect(step("active", { ...unknown, listed: "started" })).toEqual({ do: "adopt" });
  });
});

describe("draining and ending", () => {
  test("with turns in hand it goes on until the deadline, which spends no attempt", () => {
    expect(step("draining", { load: 1 })).toEqual({ do: "wait", checkAt: NOW + 10_000 });
    expect(step("draining", { load: 1, drainDeadlineAt: NOW })).toMatchObject({ do: "lose", planned: true });
    // Also when its machine is on its way down and never arrives.
    expect(step("draining", { load: 1, listed: "stopping", drainDeadlineAt: NOW })).toMatchObject({
      do: "lose",
      planned: true,
    });
  });

  test("a process that ended with turns in hand did not drain", () => {
    expect(step("draining", { load: 1, listed: "stopped" })).toMatchObject({ do: "lose" });
  });

  test("an order that was taken is looked after before it is given again", () => {
    expect(step("draining", { orderedAt: NOW - 1_000 })).toEqual({ do: "verify" });
    expect(step("stopping", { orderedAt: NOW - 1_000 })).toEqual({ do: "verify" });
    expect(step("stopping", { orderedAt: NOW - 1_000, listed: "missing" })).toEqual({ do: "verify" });
  });

  test("an order waits for its time after a failure", () => {
    expect(step("stopping", { notBefore: NOW + 5 })).toEqual({ do: "wait", checkAt: NOW + 5 });
  });

  test("a row that never had a machine closes, after the grace of a create that had begun", () => {
    const none = { machineId: null, listed: "missing" as const };
    expect(step("stopping", none)).toMatchObject({ do: "close" });
    expect(step("stopping", { ...none, begunAt: NOW - 1_000 })).toEqual({
      do: "wait",
      checkAt: NOW + 89_000,
    });
  });

  test("a warm worker ends when its time is over, and rests again if something started it", () => {
    expect(step("warm", { warmSince: NOW - 3_600_000 })).toEqual({ do: "destroy" });
    expect(step("warm", { listed: "started" })).toEqual({ do: "rest" });
    expect(step("warm", { listed: "started", attempts: ORDER_ATTEMPTS_MAX })).toEqual({ do: "destroy" });
  });
});

describe("the way back of a worker that is to rest", () => {
  const back = (change: Partial<WorkerFacts> = {}) => wayBack({ ...base("draining"), ...change }, NOW);

  test("is to go on, while nobody has been told and its machine runs", () => {
    for (const listed of [null, "started", "starting", "restarting"] as const)
      expect(back({ listed })).toEqual({ how: "recall" });
    // A rate limit is a refusal: nothing was done, and the order is given again later.
    expect(back({ notBefore: NOW + 5_000 })).toEqual({ how: "recall" });
  });

  test.each<[string, Partial<WorkerFacts>]>([
    ["a call has begun whose outcome nobody knows", { begunAt: NOW - 1_000 }],
    ["a call has failed that may have acted", { attempts: 1 }],
    ["its machine is on the way already", { listed: "suspending" }],
    ["its machine stops", { listed: "stopping" }],
    ["its machine rests", { listed: "suspended" }],
    ["its machine is in a state that nobody knows", { listed: "other" }],
    ["its machine is gone", { listed: "missing" }],
    ["its process leaves by itself", { leaving: true }],
    ["it has a turn in hand", { load: 1 }],
    ["it is to end", { retireTo: "end" }],
    ["it serves", { state: "active", retireTo: null }],
    ["it is being ended", { state: "stopping", retireTo: "end" }],
    ["it is over", { state: "stopped", retireTo: null }],
  ])("is none when %s", (_, change) => {
    expect(back(change)).toBeNull();
  });

  test("is to wait once the order was taken, for a bounded time that no second order prolongs", () => {
    const orderedAt = NOW - 1_000;
    const until = orderedAt + REST_PATIENCE_MS;
    expect(back({ orderedAt, attempts: 2, leaving: true, listed: "suspending" })).toEqual({
      how: "await",
      until,
    });
    expect(back({ orderedAt: NOW - REST_PATIENCE_MS })).toBeNull();
    expect(back({ orderedAt, awaitedUntil: NOW + 1 })).toEqual({ how: "await", until: NOW + 1 });
    expect(back({ orderedAt, awaitedUntil: NOW })).toBeNull();
  });
});
