import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseRuntimeConfig, type RuntimeConfig } from "./runtimeConfig.ts";
import {
  chooseWorker,
  hasRoom,
  isSilent,
  lacksTurns,
  mayServe,
  type WakeCandidate,
  wokenEnough,
} from "./wake.ts";

const NOW = 1_000_000;
const conversation = { agentKey: "support", conversationId: "c1" };

function configWith(changes: {
  dedication?: RuntimeConfig["turn"]["dedication"];
  canaryAgentKeys?: string[];
}) {
  const parsed = parseRuntimeConfig({
    provider: {
      appName: "app",
      organizationSlug: "org",
      image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
      regions: ["fra"],
    },
    turn: { dedication: changes.dedication ?? "none" },
    rollout: { canaryAgentKeys: changes.canaryAgentKeys ?? [] },
  });
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.config;
}

const config = configWith({});

function worker(workerId: string, changes: Partial<WakeCandidate> = {}): WakeCandidate {
  return {
    workerId,
    state: "active",
    hasFreeSlot: true,
    load: 0,
    lastHeartbeatAt: NOW,
    canary: false,
    ...changes,
  };
}

describe("who is woken", () => {
  test("the holder when it can, though another is less loaded", () => {
    expect(
      chooseWorker(worker("w1", { load: 3 }), [worker("w2")], conversation, [], config, NOW)?.workerId,
    ).toBe("w1");
  });

  test("else the least loaded, the first of equals", () => {
    const others = [worker("w2", { load: 2 }), worker("w3", { load: 1 }), worker("w4", { load: 1 })];
    expect(chooseWorker(null, others, conversation, [], config, NOW)?.workerId).toBe("w3");
  });

  test.each<[string, Partial<WakeCandidate>]>([
    ["drains", { state: "draining" }],
    ["is full", { hasFreeSlot: false }],
    ["is silent", { lastHeartbeatAt: NOW - config.scaling.workerLostAfterMs - 1 }],
    ["was never heard", { lastHeartbeatAt: undefined }],
  ])("never one that %s", (_why, changes) => {
    expect(
      chooseWorker(worker("w1", changes), [worker("w2", changes)], conversation, [], config, NOW),
    ).toBeNull();
  });

  test("nobody twice for the same message", () => {
    expect(chooseWorker(worker("w1"), [worker("w2")], conversation, ["w1"], config, NOW)?.workerId).toBe(
      "w2",
    );
    expect(chooseWorker(worker("w1"), [worker("w2")], conversation, ["w1", "w2"], config, NOW)).toBeNull();
  });

  test("only ever a worker that could claim it, and nobody only when there is none", () => {
    const anyWorker = fc.record({
      state: fc.constantFrom("active", "draining", "stopped"),
      hasFreeSlot: fc.boolean(),
      load: fc.integer({ min: 0, max: 4 }),
      lastHeartbeatAt: fc.constantFrom(undefined, 0, NOW),
      canary: fc.boolean(),
      dedicatedTo: fc.constantFrom(undefined, "support", "sales"),
    });
    fc.assert(
      fc.property(
        fc.array(anyWorker, { maxLength: 6 }),
        fc.constantFrom<RuntimeConfig["turn"]["dedication"]>("none", "agent", "conversation"),
        fc.constantFrom<string[]>([], ["sales"], ["support"]),
        fc.boolean(),
        (drawn, dedication, canaryAgentKeys, firstHolds) => {
          const any = configWith({ dedication, canaryAgentKeys });
          const workers = drawn.map((changes, i) => worker(`w${i}`, changes));
          const able = workers.filter(
            (one) =>
              one.state === "active" &&
              one.hasFreeSlot &&
              !isSilent(one, any, NOW) &&
              mayServe(one, conversation, any),
          );
          const [holder, ...others] = firstHolds
            ? [workers[0] ?? null, ...workers.slice(1)]
            : [null, ...workers];
          const chosen = chooseWorker(holder ?? null, others, conversation, [], any, NOW)?.workerId ?? null;
          expect(able.map(({ workerId }) => workerId)).toEqual(
            able.length === 0 ? [] : expect.arrayContaining([chosen]),
          );
          expect(chosen === null).toBe(able.length === 0);
        },
      ),
    );
  });
});

describe("who may serve a conversation", () => {
  test("a canary serves the agents that the rollout names, and any when it names none", () => {
    const canary = worker("w1", { canary: true });
    expect(mayServe(canary, conversation, configWith({ canaryAgentKeys: ["sales"] }))).toBe(false);
    expect(mayServe(canary, conversation, configWith({ canaryAgentKeys: ["support"] }))).toBe(true);
    expect(mayServe(canary, conversation, configWith({}))).toBe(true);
  });

  test("a dedicated worker changes its owner only when idle", () => {
    const byAgent = configWith({ dedication: "agent" });
    expect(mayServe(worker("w1", { load: 1, dedicatedTo: "sales" }), conversation, byAgent)).toBe(false);
    expect(mayServe(worker("w1", { load: 1, dedicatedTo: "support" }), conversation, byAgent)).toBe(true);
    expect(mayServe(worker("w1", { load: 0, dedicatedTo: "sales" }), conversation, byAgent)).toBe(true);
    const byConversation = configWith({ dedication: "conversation" });
    expect(mayServe(worker("w1", { load: 1, dedicatedTo: "c1" }), conversation, byConversation)).toBe(false);
  });
});

test("a canary lacks turns until those that ended and those that run are what the gate wants", () => {
  const canary = { canary: true, load: 0, turnsDone: 0, turnsFailed: 0 };
  expect(config.rollout.gateTurnsMin).toBe(3);
  expect(lacksTurns(canary, config)).toBe(true);
  expect(lacksTurns({ ...canary, turnsDone: 1, turnsFailed: 1 }, config)).toBe(true);
  expect(lacksTurns({ ...canary, turnsDone: 1, turnsFailed: 1, load: 1 }, config)).toBe(false);
  expect(lacksTurns({ ...canary, canary: false }, config)).toBe(false);
});

test("silence begins after workerLostAfterMs, not at it", () => {
  const { workerLostAfterMs } = config.scaling;
  expect(isSilent({ lastHeartbeatAt: NOW - workerLostAfterMs }, config, NOW)).toBe(false);
  expect(isSilent({ lastHeartbeatAt: NOW - workerLostAfterMs - 1 }, config, NOW)).toBe(true);
});

test("there is room below the slots for an active worker that has said it is ready", () => {
  const ready = { state: "active", slots: 2, readyAt: 1 };
  expect([0, 1, 2].map((load) => hasRoom(ready, load, "none"))).toEqual([true, true, false]);
  expect([0, 1].map((load) => hasRoom(ready, load, "conversation"))).toEqual([true, false]);
  expect(hasRoom({ ...ready, state: "draining" }, 0, "none")).toBe(false);
  expect(hasRoom({ state: "active", slots: 2 }, 0, "none")).toBe(false);
});

test("a worker is woken enough when as many wake-ups are under way as it has free slots", () => {
  const half = { slots: 4, load: 1 };
  expect(wokenEnough(2, { ...half, wakesAnswered: 0 })).toBe(false);
  expect(wokenEnough(3, half)).toBe(true);
  expect(wokenEnough(9, { ...half, wakesAnswered: 7 })).toBe(false);
  expect(wokenEnough(9, { ...half, wakesAnswered: 40 })).toBe(false);
});
