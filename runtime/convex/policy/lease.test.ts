import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkFence, isExpired, renewedExpiry, TURN_WRAP_UP_MS } from "./lease.ts";

const held = { status: "processing", leaseId: "l1", leaseExpiresAt: 1_000, workerId: "w1" } as const;
const holder = { leaseId: "l1", workerId: "w1" };

describe("the fence", () => {
  test("holds for the holder until the lease expires", () => {
    expect(checkFence(held, holder, 999)).toEqual({ holds: true });
    expect(checkFence(held, holder, 1_000)).toEqual({ holds: false, why: "expired" });
  });

  test("names why it does not hold", () => {
    expect(checkFence({ ...held, status: "done" }, holder, 0)).toEqual({
      holds: false,
      why: "not_processing",
    });
    expect(checkFence(held, { ...holder, leaseId: "l0" }, 0)).toEqual({ holds: false, why: "another_lease" });
    expect(checkFence(held, { ...holder, workerId: "w2" }, 0)).toEqual({
      holds: false,
      why: "another_worker",
    });
  });

  test("holds only when status, lease, worker and time are all right", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("queued", "processing", "done", "dead_letter", "cancelled"),
        fc.constantFrom("l1", "l2", undefined),
        fc.constantFrom("w1", "w2", undefined),
        fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined }),
        fc.integer({ min: 0, max: 10 }),
        (status, leaseId, workerId, leaseExpiresAt, now) => {
          const right =
            status === "processing" && leaseId === "l1" && workerId === "w1" && (leaseExpiresAt ?? 0) > now;
          expect(checkFence({ status, leaseId, workerId, leaseExpiresAt }, holder, now).holds).toBe(right);
        },
      ),
    );
  });
});

test("a processing message without an expiry is expired, one that is not processing never is", () => {
  expect(isExpired({ status: "processing" }, 1)).toBe(true);
  expect(isExpired({ status: "queued", leaseExpiresAt: 0 }, 1)).toBe(false);
});

describe("renewal", () => {
  const policy = { leaseMs: 45_000, turnTimeoutMs: 300_000 };

  test("counts from now and never reaches beyond the turn's time and its wrap-up", () => {
    expect(renewedExpiry({ claimedAt: 0 }, policy, 10_000)).toBe(55_000);
    expect(renewedExpiry({ claimedAt: 0 }, policy, 359_999)).toBe(360_000);
    expect(renewedExpiry({ claimedAt: 0 }, policy, 360_000)).toBeNull();
  });

  test("a hung turn ends however often its worker beats", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 100 }),
        fc.integer({ min: 1_000, max: 300_000 }),
        (pauses, turnTimeoutMs) => {
          const latest = turnTimeoutMs + TURN_WRAP_UP_MS;
          let now = 0;
          for (const pause of pauses) {
            now += pause;
            const expiry = renewedExpiry({ claimedAt: 0 }, { leaseMs: 45_000, turnTimeoutMs }, now);
            if (expiry === null) expect(now).toBeGreaterThanOrEqual(latest);
            else {
              expect(expiry).toBeGreaterThan(now);
              expect(expiry).toBeLessThanOrEqual(Math.min(latest, now + 45_000));
            }
          }
        },
      ),
    );
  });
});
