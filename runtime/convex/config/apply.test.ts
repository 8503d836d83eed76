import { describe, expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import type { RuntimeConfigInput } from "../policy/runtimeConfig.ts";
import {
  configInput,
  createWorld,
  fakeDeployment,
  OWNER,
  START,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

async function apply(t: World, config: unknown, expectedRevision: number | null, owner = OWNER) {
  return await t.mutation(internal.factory.applyRuntimeConfig, {
    config,
    expectedRevision,
    owner,
    actor: "ada",
  });
}
const withLease = (leaseMs: number): RuntimeConfigInput => ({ ...configInput, lease: { leaseMs } });

describe("applyRuntimeConfig", () => {
  test("the first revision fills every default in and says who and when", async () => {
    const t = await createWorld();
    expect(await t.query(internal.factory.runtimeConfig)).toMatchObject({
      revision: 1,
      appliedBy: "test",
      appliedAt: START,
      owner: OWNER,
      config: { lease: { leaseMs: 45_000 }, scaling: { maxWorkers: 5 } },
    });
  });

  test("the same config again is no new revision, whatever revision is expected", async () => {
    const t = await createWorld();
    const reordered = Object.fromEntries(Object.entries({ retry: {}, ...configInput }).reverse());
    for (const expected of [1, null, 7]) {
      expect(await apply(t, reordered, expected)).toEqual({ revision: 1, changed: false });
    }
  });

  test("a change needs the revision in force", async () => {
    const t = await createWorld();
    await expect(apply(t, withLease(60_000), null)).rejects.toThrow(
      "Runtime config is at revision 1, expected none. Run `pulumi refresh` and try again.",
    );
    expect(await apply(t, withLease(60_000), 1)).toEqual({ revision: 2, changed: true });
    await expect(apply(t, withLease(90_000), 1)).rejects.toThrow(
      "Runtime config is at revision 2, expected 1.",
    );
  });

  test("of two writers from the same revision one wins", async () => {
    const t = await createWorld();
    const outcomes = await Promise.allSettled([
      apply(t, withLease(60_000), 1),
      apply(t, withLease(90_000), 1),
    ]);
    expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  test("another stack is refused, whatever it writes", async () => {
    const t = await createWorld();
    for (const config of [configInput, withLease(60_000)]) {
      await expect(apply(t, config, 1, "agent-factory/other")).rejects.toThrow(
        "This deployment belongs to stack 'agent-factory/test'; stack 'agent-factory/other' may not write",
      );
    }
  });

  test("after a destroy the next stack starts without a rollout, since nothing is left to return to", async () => {
    const t = await createWorld();
    const image = (digit: string): RuntimeConfigInput => ({
      ...configInput,
      provider: { ...configInput.provider, image: `registry.fly.io/app@sha256:${digit.repeat(64)}` },
    });
    // Destroyed in the middle of a rollout, which must not be gone on with either.
    await apply(t, image("b"), 1);
    expect(await t.query(internal.factory.rolloutStatus, {})).toMatchObject({ phase: "canary" });
    await t.mutation(internal.factory.retireRuntimeConfig, { owner: OWNER, actor: "ada" });
    expect(await t.query(internal.factory.runtimeConfig)).toMatchObject({ revision: 2, retired: true });
    await apply(t, image("b"), 2, "agent-factory/next");
    expect(await t.query(internal.factory.runtimeConfig)).toMatchObject({ revision: 3, retired: false });
    expect(await t.query(internal.factory.rolloutStatus, {})).toMatchObject({
      revision: 2,
      phase: "superseded",
    });
    expect(await t.query(internal.factory.rolloutStatus, { revision: 3 })).toMatchObject({ phase: "none" });
  });

  test("every problem is reported at once and nothing is written", async () => {
    const t = await createWorld();
    const config = { ...configInput, lease: { leaseMs: 1 }, queue: { maxPriority: 500 }, surprise: true };
    const error = await apply(t, config, 1).catch((caught: Error) => caught.message);
    for (const field of ["lease.leaseMs", "queue.maxPriority", "surprise"]) expect(error).toContain(field);
    expect((await t.query(internal.factory.runtimeConfig))?.revision).toBe(1);
  });

  test("the history keeps every revision with what changed", async () => {
    const t = await createWorld();
    await apply(t, withLease(60_000), 1);
    const history = await t.query(internal.factory.runtimeConfigHistory, {});
    expect(history[0]).toEqual({ revision: 2, appliedBy: "ada", appliedAt: START, changed: ["lease"] });
    expect(history[1]).toMatchObject({ revision: 1, appliedBy: "test" });
    const log = await t.query(internal.factory.listAudit, { action: "config.apply" });
    expect(log.rows[0]).toMatchObject({ actor: "ada", target: "revision 2", detail: "changed: lease" });
  });
});
