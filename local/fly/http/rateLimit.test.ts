import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, startHarness } from "../testing/harness.ts";
import { allowanceOf, RateLimiter } from "./rateLimit.ts";

describe("the limiter", () => {
  const passed = (limiter: RateLimiter, operation: string, calls: number, nowMs: number): number =>
    Array.from({ length: calls }, () => limiter.allow(operation, "m1", nowMs)).filter(Boolean).length;

  test("three at once, then one a second, per action and identifier", () => {
    const limiter = new RateLimiter();
    expect(passed(limiter, "Machines_start", 10, 0)).toBe(3);
    expect(passed(limiter, "Machines_stop", 10, 0)).toBe(3);
    expect(limiter.allow("Machines_start", "m2", 0)).toBe(true);
    expect(passed(limiter, "Machines_start", 10, 999)).toBe(0);
    expect(passed(limiter, "Machines_start", 10, 1_000)).toBe(1);
    expect(passed(limiter, "Machines_start", 10, 60_000)).toBe(3);
  });

  test("reading one machine: ten at once, then five a second", () => {
    const limiter = new RateLimiter();
    expect(passed(limiter, "Machines_show", 20, 0)).toBe(10);
    expect(passed(limiter, "Machines_show", 20, 1_000)).toBe(5);
    expect(allowanceOf("Apps_delete")).toEqual({ perSecond: 100 / 60, burst: 100 });
  });
});

describe("over HTTP", () => {
  let h: Harness;
  let clockMs = 1_000_000;
  beforeAll(async () => {
    h = await startHarness({ rateLimit: true, now: () => clockMs });
    await h.call("POST", "/v1/apps", { name: "limited", org_slug: "personal" });
    await h.call("POST", "/v1/apps", { name: "other", org_slug: "personal" });
  });
  afterAll(() => h.close());

  test("429 for the fourth list of an app within a second; another app is not affected", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await h.call("GET", "/v1/apps/limited/machines")).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect((await h.call("GET", "/v1/apps/other/machines")).status).toBe(200);
    clockMs += 1_000;
    expect((await h.call("GET", "/v1/apps/limited/machines")).status).toBe(200);
  });
});
