import { describe, expect, test } from "vitest";
import { machineConfigSchema } from "./configSchema.ts";
import { decideAfterExit } from "./exitDecision.ts";
import type { AfterStop, MachineState } from "./record.ts";

const NOW = 1_000_000;
interface Case {
  state?: MachineState;
  stopNext?: AfterStop;
  policy?: "no" | "always" | "on-failure";
  retries?: number;
  autoDestroy?: boolean;
  restarts?: { count: number; windowStartedAtMs: number };
}

function decide(exitCode: number, given: Case = {}): ReturnType<typeof decideAfterExit> {
  const restart = { policy: given.policy ?? "on-failure", max_retries: given.retries };
  const config = machineConfigSchema.parse({ image: "x", restart, auto_destroy: given.autoDestroy });
  const stop = given.stopNext === undefined ? null : { killAtMs: NOW, next: given.stopNext };
  const restarts = given.restarts ?? { count: 0, windowStartedAtMs: NOW };
  return decideAfterExit({ state: given.state ?? "started", stop, config, restarts }, exitCode, NOW);
}

describe("after an unasked exit", () => {
  test.each([
    ["no", 0, "stopped"],
    ["no", 1, "stopped"],
    ["on-failure", 0, "stopped"],
    ["on-failure", 1, "restart"],
    ["always", 0, "restart"],
    ["always", 1, "restart"],
  ] as const)("policy %s and code %d: %s", (policy, code, kind) => {
    expect(decide(code, { policy }).kind).toBe(kind);
  });

  test("auto_destroy destroys what would stop, not what is restarted", () => {
    expect(decide(0, { policy: "no", autoDestroy: true }).kind).toBe("destroy");
    expect(decide(1, { policy: "no", autoDestroy: true }).kind).toBe("destroy");
    expect(decide(1, { policy: "on-failure", autoDestroy: true }).kind).toBe("restart");
  });

  test("on-failure gives up after ten restarts in five minutes; an older window starts over", () => {
    const full = { count: 10, windowStartedAtMs: NOW - 1_000 };
    expect(decide(1, { restarts: full }).kind).toBe("failed");
    expect(decide(1, { restarts: full, autoDestroy: true }).kind).toBe("destroy");
    expect(decide(1, { restarts: { count: 10, windowStartedAtMs: NOW - 300_000 } })).toMatchObject({
      kind: "restart",
      restarts: { count: 1, windowStartedAtMs: NOW },
    });
    expect(decide(1, { policy: "always", restarts: full }).kind).toBe("restart");
  });
});

describe("after an asked-for exit", () => {
  test("a stop stops whatever the policy, a restart starts, a destruction destroys", () => {
    expect(decide(1, { state: "stopping", stopNext: "stopped", policy: "always" }).kind).toBe("stopped");
    expect(decide(1, { state: "restarting", stopNext: "start", policy: "no" }).kind).toBe("start");
    expect(decide(0, { state: "destroying" }).kind).toBe("destroy");
  });

  test("a stop of an auto_destroy machine destroys it; an update that leaves it stopped does not", () => {
    expect(decide(0, { state: "stopping", stopNext: "stopped", autoDestroy: true }).kind).toBe("destroy");
    expect(decide(0, { state: "replacing", stopNext: "stopped", autoDestroy: true }).kind).toBe("stopped");
  });

  test("a suspended machine whose process dies is stopped, not restarted", () => {
    expect(decide(137, { state: "suspended", policy: "always" }).kind).toBe("stopped");
  });
});
