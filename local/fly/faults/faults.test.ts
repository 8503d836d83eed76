import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectEventually, type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";
import { registryAuth } from "../testing/image.ts";
import { CAPACITY_SCOPES, capacityAnswer } from "./capacity.ts";
import { FaultBook, faultRulesSchema } from "./faultBook.ts";

let h: Harness;
let image: string;
const machines = "/v1/apps/demo/machines";
beforeAll(async () => {
  h = await startHarness();
  image = await h.appWithImage("demo", LONG_RUNNER);
});
afterAll(() => h.close());
afterEach(async () => {
  await h.call("DELETE", "/local/faults");
});

const inject = (rule: Record<string, unknown>) => h.call("POST", "/local/faults", rule);
const names = async (): Promise<string[]> =>
  (await h.call("GET", machines)).body.map((machine: { name: string }) => machine.name);
const create = (name: string) => h.call("POST", machines, { name, config: { image }, skip_launch: true });

describe("over HTTP", () => {
  test("a status with a body answers instead of acting, for the nth call only", async () => {
    await inject({
      operation: "Machines_create",
      nth: 2,
      kind: "status",
      status: 503,
      body: { error: "unavailable" },
    });
    expect((await create("n1")).status).toBe(200);
    expect(await create("n2")).toMatchObject({ status: 503, body: { error: "unavailable" } });
    expect((await create("n3")).status).toBe(200);
    expect(await names()).toEqual(["n1", "n3"]);
    const [report] = (await h.call("GET", "/local/faults")).body;
    expect(report).toMatchObject({ matched: 3, fired: 1 });
  });

  test("a reset or timeout before acting leaves nothing; after acting, the machine is there", async () => {
    for (const [kind, when, exists] of [
      ["reset", "before", false],
      ["reset", "after", true],
      ["timeout", "before", false],
      ["timeout", "after", true],
    ] as const) {
      const name = `${kind}-${when}`;
      await inject({
        id: "cut",
        operation: "Machines_create",
        kind,
        when,
        ...(kind === "timeout" ? { holdMs: 50 } : {}),
      });
      await expect(create(name)).rejects.toThrow("fetch failed");
      await h.call("DELETE", "/local/faults/cut");
      await expectEventually(async () => (await names()).includes(name) === exists);
    }
  });

  test("slow answers late; a rule for another app does not fire", async () => {
    await inject({ operation: "Machines_list", app: "other", kind: "reset" });
    await inject({ operation: "Machines_list", app: "demo", kind: "slow", delayMs: 120 });
    const before = performance.now();
    await names();
    expect(performance.now() - before).toBeGreaterThan(110);
  });

  test.each(CAPACITY_SCOPES)("capacity refusal %s has its status and body", async (scope) => {
    await inject({ operation: "Machines_*", kind: "capacity", scope, times: 1 });
    expect(await create(`room-${scope}`)).toMatchObject(capacityAnswer(scope));
    expect((await create(`room-${scope}`)).status).toBe(200);
  });

  test("GraphQL and registry calls can be hit too, and a bad rule is refused with its field", async () => {
    await inject({ operation: "graphql.organization", kind: "status", status: 502 });
    expect((await h.graphql('{ organization(slug: "personal") { id } }')).status).toBe(502);
    await inject({ operation: "registry.*", kind: "status", status: 500 });
    const headers = { authorization: registryAuth(h.fly.orgToken) };
    expect((await fetch(`${h.fly.registryUrl}/v2/`, { headers })).status).toBe(500);
    const bad = await inject({ operation: "x", kind: "status", status: 9 });
    expect(bad.status).toBe(400);
    expect(bad.body.error).toContain("status");
  });

  test("calls are counted per operation and status, cut ones with status 0", async () => {
    await h.call("DELETE", "/local/calls");
    await inject({ operation: "Machines_list", nth: 2, kind: "reset" });
    await names();
    await expect(names()).rejects.toThrow("fetch failed");
    const { total, calls } = (await h.call("GET", "/local/calls?app=demo")).body;
    expect(total).toBe(2);
    expect(calls).toEqual([
      { operation: "Machines_list", app: "demo", status: 0, count: 1 },
      { operation: "Machines_list", app: "demo", status: 200, count: 1 },
    ]);
  });
});

describe("the rules", () => {
  const run = (seed: number): string => {
    const book = new FaultBook();
    book.add(faultRulesSchema.parse([{ probability: 0.3, seed, kind: "reset" }]));
    return Array.from({ length: 200 }, () => (book.decide("op", undefined) === null ? "." : "X")).join("");
  };

  test("a probability fires about as often as it says, the same for the same seed", () => {
    expect(run(7)).toBe(run(7));
    expect(run(7)).not.toBe(run(8));
    const fired = run(7).split("X").length - 1;
    expect(fired).toBeGreaterThan(40);
    expect(fired).toBeLessThan(80);
  });

  test("a rule with the id of an installed one replaces it; times ends it", () => {
    const book = new FaultBook();
    book.add(faultRulesSchema.parse([{ id: "a", kind: "reset" }]));
    book.add(faultRulesSchema.parse([{ id: "a", kind: "slow", delayMs: 1, times: 2 }]));
    const effects = Array.from({ length: 3 }, () => book.decide("op", undefined)?.kind);
    expect(effects).toEqual(["slow", "slow", undefined]);
  });
});
