import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseRuntimeConfig } from "./runtimeConfig.ts";

const provider = {
  appName: "app",
  organizationSlug: "org",
  image: `registry.fly.io/app@sha256:${"a".repeat(64)}`,
  regions: ["fra"],
};

function problemsOf(input: Record<string, unknown>): string[] {
  const parsed = parseRuntimeConfig({ provider, ...input });
  return parsed.ok ? [] : parsed.problems;
}

describe("defaults", () => {
  test("a stack names its provider and nothing else", () => {
    expect(parseRuntimeConfig({ provider })).toMatchObject({
      ok: true,
      config: {
        queue: { defaultPriority: 50, maxPriority: 100 },
        retry: { maxAttempts: 5, baseDelayMs: 1_000, maxDelayMs: 120_000, backoffFactor: 2 },
        lease: { leaseMs: 45_000, heartbeatIntervalMs: 10_000, idleHeartbeatIntervalMs: 30_000 },
        scaling: { minWorkers: 0, maxWorkers: 5, jobsPerWorker: 4 },
        drain: { drainTimeoutMs: 60_000, killTimeoutMs: 90_000 },
      },
    });
  });

  test("are a config of their own: parsing what was parsed changes nothing", () => {
    const first = parseRuntimeConfig({ provider });
    expect(first.ok && parseRuntimeConfig(first.config)).toEqual(first);
  });
});

describe("rules between fields", () => {
  test.each<[string, Record<string, unknown>, string]>([
    [
      "a heartbeat of a third of the lease",
      { lease: { leaseMs: 30_000, heartbeatIntervalMs: 10_000 } },
      "lease.heartbeatIntervalMs: must be less than a third of lease.leaseMs (30000), so that two lost heartbeats do not lose the lease",
    ],
    [
      "a drain that ends with the kill",
      { drain: { drainTimeoutMs: 85_001 } },
      "drain.drainTimeoutMs: must be at least 5000 below drain.killTimeoutMs (90000), so that a drain ends before the platform kills",
    ],
    [
      "a first delay beyond the longest",
      { retry: { baseDelayMs: 2_000, maxDelayMs: 1_999 } },
      "retry.baseDelayMs: must not exceed retry.maxDelayMs (1999)",
    ],
    [
      "more workers at least than at most",
      { scaling: { minWorkers: 6 } },
      "scaling.minWorkers: must not exceed scaling.maxWorkers (5)",
    ],
    [
      "a silence of two idle heartbeats",
      { scaling: { workerLostAfterMs: 60_000 } },
      "scaling.workerLostAfterMs: must be more than twice lease.idleHeartbeatIntervalMs (30000), so that one lost heartbeat does not end an idle worker",
    ],
    [
      "a default priority above the highest",
      { queue: { maxPriority: 49 } },
      "queue.defaultPriority: must not exceed queue.maxPriority (49)",
    ],
    [
      "suspending a machine too large for it",
      { provider: { ...provider, guest: { memoryMb: 4_096 } } },
      'scaling.warmPool.mode: suspend needs provider.guest.memoryMb of at most 2048 (it is 4096); use "stop"',
    ],
  ])("%s is refused with this message", (_name, input, message) => {
    expect(problemsOf(input)).toEqual([message]);
  });

  test.each<[string, Record<string, unknown>]>([
    ["heartbeat", { lease: { leaseMs: 30_001, heartbeatIntervalMs: 10_000 } }],
    ["drain", { drain: { drainTimeoutMs: 85_000 } }],
    ["delays", { retry: { baseDelayMs: 2_000, maxDelayMs: 2_000 } }],
    ["workers", { scaling: { minWorkers: 5 } }],
    ["silence", { scaling: { workerLostAfterMs: 60_001 } }],
    ["priority", { queue: { maxPriority: 50 } }],
    ["suspension", { provider: { ...provider, guest: { memoryMb: 2_048 } } }],
    [
      "a large machine that stops",
      {
        provider: { ...provider, guest: { memoryMb: 4_096 } },
        scaling: { warmPool: { mode: "stop" } },
      },
    ],
  ])("just inside is accepted: %s", (_name, input) => {
    expect(problemsOf(input)).toEqual([]);
  });

  test("several broken rules are reported together", () => {
    const problems = problemsOf({
      lease: { leaseMs: 5_000 },
      drain: { drainTimeoutMs: 90_000 },
      scaling: { minWorkers: 9 },
    });
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      "lease.heartbeatIntervalMs",
      "drain.drainTimeoutMs",
      "scaling.minWorkers",
    ]);
  });

  test("whatever is accepted holds them", () => {
    const ms = fc.integer({ min: 1_000, max: 300_000 });
    fc.assert(
      fc.property(ms, ms, ms, ms, ms, (leaseMs, heartbeatIntervalMs, drainTimeoutMs, killTimeoutMs, lost) => {
        const parsed = parseRuntimeConfig({
          provider,
          lease: { leaseMs, heartbeatIntervalMs },
          drain: { drainTimeoutMs, killTimeoutMs },
          scaling: { workerLostAfterMs: lost },
        });
        const holds =
          leaseMs >= 5_000 &&
          heartbeatIntervalMs * 3 < leaseMs &&
          killTimeoutMs >= 2_000 &&
          drainTimeoutMs <= 290_000 &&
          drainTimeoutMs + 5_000 <= killTimeoutMs &&
          lost > 60_000;
        expect(parsed.ok).toBe(holds);
      }),
    );
  });
});

describe("fields", () => {
  test("a canary is kept to as many agents as one claim can look for", () => {
    const agents = (count: number) => ({
      rollout: { canaryAgentKeys: Array.from({ length: count }, (_, i) => `a${i}`) },
    });
    expect(problemsOf(agents(8))).toEqual([]);
    expect(problemsOf(agents(9))).toEqual([
      "rollout.canaryAgentKeys: names more than 8 agents, the limit of one claim; leave it empty and set canaryWorkers or canaryPercent to try the image on everyone",
    ]);
  });

  test.each(["Mars/Olympus", "+02:00", ""])("a warm window in the zone '%s' is refused", (timeZone) => {
    const window = { weekdays: [1], from: "08:00", to: "18:00", timeZone, size: 1 };
    expect(problemsOf({ scaling: { warmPool: { schedule: [window] } } })).toEqual([
      `scaling.warmPool.schedule.0.timeZone: Invalid timezone '${timeZone}', expected an IANA zone such as Europe/Rome`,
    ]);
  });

  test("all problems are reported at once, by path", () => {
    const problems = problemsOf({
      queue: { payloadMaxBytes: 1 },
      retry: { maxAttempts: 0 },
      provider: { ...provider, image: "registry.fly.io/app:latest" },
    });
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      "queue.payloadMaxBytes",
      "retry.maxAttempts",
      "provider.image",
    ]);
    expect(problems[2]).toBe("provider.image: expected an image by digest: <repository>@sha256:<64 hex>");
  });

  test("an unknown field is refused, so that a typing error is not a silent default", () => {
    expect(problemsOf({ leese: {} })).toEqual(['config: Unrecognized key: "leese"']);
    expect(problemsOf({ lease: { leaseMS: 1 } })).toEqual(['lease: Unrecognized key: "leaseMS"']);
  });

  test("anything at all is answered with problems, never with a throw", () => {
    fc.assert(
      fc.property(fc.anything(), (input) => {
        const parsed = parseRuntimeConfig(input);
        expect(parsed.ok || parsed.problems.length > 0).toBe(true);
      }),
    );
  });
});
