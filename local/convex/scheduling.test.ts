import { makeFunctionReference } from "convex/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploy, eventually, TestDeployment } from "./testing/fixture.ts";

let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ functionTimeoutMs: 1_500 });
});

afterAll(async () => await deployment.close());

const mutate = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.mutation(makeFunctionReference<"mutation">(path), args, { skipQueue: true });
const query = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.query(makeFunctionReference<"query">(path), args);
const counted = (name: string): Promise<number> => query("counters:value", { name }) as Promise<number>;
const status = (id: unknown) =>
  query("jobs:status", { id }) as Promise<{
    state: { kind: string; error?: string };
    completedTime?: number;
  }>;

describe("the scheduler", () => {
  it("runs mutations and actions when they are due, each once, and records it", async () => {
    const [job] = (await mutate("jobs:later", { name: "due", delayMs: 50 })) as string[];
    const action = await mutate("jobs:laterAction", { name: "due-action", delayMs: 50 });
    expect(await status(job)).toMatchObject({ name: "counters.js:bump", args: [{ name: "due" }] });
    await eventually(
      () => status(job),
      ({ state }) => state.kind === "success",
    );
    await eventually(
      () => status(action),
      ({ state }) => state.kind === "success",
    );
    expect(await counted("due")).toBe(1);
    expect(await counted("due-action")).toBe(1);
    expect((await status(job)).completedTime).toBeGreaterThan(0);
  });

  it("runs nothing that a failed mutation scheduled", async () => {
    await expect(mutate("jobs:laterAndThrow", { name: "thrown" })).rejects.toThrow("nothing is scheduled");
    await mutate("jobs:later", { name: "after-thrown", delayMs: 0 });
    await eventually(
      () => counted("after-thrown"),
      (n) => n === 1,
    );
    expect(await counted("thrown")).toBe(0);
  });

  it("runs each of many jobs exactly once", async () => {
    await mutate("jobs:later", { name: "many", delayMs: 0, times: 300 });
    await eventually(
      () => counted("many"),
      (n) => n >= 300,
    );
    expect(await counted("many")).toBe(300);
  });

  it("does not run what was cancelled", async () => {
    const [job] = (await mutate("jobs:later", { name: "cancelled", delayMs: 2_000 })) as string[];
    expect(await status(job)).toMatchObject({ state: { kind: "pending" } });
    await mutate("jobs:cancel", { id: job });
    expect(await status(job)).toMatchObject({ state: { kind: "canceled" } });
    await mutate("jobs:later", { name: "after-cancelled", delayMs: 2_100 });
    await eventually(
      () => counted("after-cancelled"),
      (n) => n === 1,
    );
    expect(await counted("cancelled")).toBe(0);
  });

  it("schedules from actions and keeps the error of a job that fails", async () => {
    await deployment.http.action(makeFunctionReference<"action">("jobs:fromAction"), { name: "from-action" });
    await eventually(
      () => counted("from-action"),
      (n) => n === 1,
    );
    const job = await mutate("jobs:scheduleFailing");
    const failed = await eventually(
      () => status(job),
      ({ state }) => state.kind === "failed",
    );
    expect(failed.state.error).toContain("job failed");
  });

  it("gives a job up that never yields, and goes on with the others", async () => {
    const job = await mutate("jobs:scheduleHang");
    await mutate("jobs:later", { name: "beside-hang", delayMs: 0 });
    const failed = await eventually(
      () => status(job),
      ({ state }) => state.kind === "failed",
    );
    expect(failed.state.error).toContain("timed out");
    await eventually(
      () => counted("beside-hang"),
      (n) => n === 1,
    );
  });
});

describe("a deploy", () => {
  it("lets a running action finish and subscriptions go on", async () => {
    const seen: unknown[] = [];
    deployment
      .client()
      .onUpdate(makeFunctionReference<"query">("counters:value"), { name: "over-done" }, (value) =>
        seen.push(value),
      );
    await mutate("jobs:scheduleCountThenWait", { name: "over", waitMs: 4_000 });
    await eventually(
      () => counted("over"),
      (n) => n === 1,
    );
    expect((await deploy(deployment.target)).code).toBe(0);
    await eventually(
      () => Promise.resolve(seen.at(-1)),
      (value) => value === 1,
    );
    expect(await counted("over")).toBe(1);
  });
});

describe("crons", () => {
  it("fire mutations and actions again and again", async () => {
    await eventually(
      () => counted("cron-mutation"),
      (n) => n >= 2,
    );
    await eventually(
      () => counted("cron-action"),
      (n) => n >= 2,
    );
    expect(await counted("cron-never")).toBe(0);
  });
});
