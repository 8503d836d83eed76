import { makeFunctionReference } from "convex/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, TestDeployment } from "./testing/fixture.ts";

let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start({ functionTimeoutMs: 1_000 });
});

afterAll(async () => await deployment.close());

const mutate = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.mutation(makeFunctionReference<"mutation">(path), args, { skipQueue: true });
const query = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.query(makeFunctionReference<"query">(path), args);
const act = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  deployment.http.action(makeFunctionReference<"action">(path), args);

describe("a mutation that hangs", () => {
  it("while it awaits blocks nobody, is aborted at its time limit and leaves nothing behind", async () => {
    const hanging = mutate("faults:awaitForever", { name: "awaits" });
    const failure = hanging.catch((error: unknown) => String(error));
    expect(await mutate("counters:increment", { name: "meanwhile" })).toBe(1);
    expect(await failure).toContain("Function execution timed out (maximum duration: 1s)");
    expect(await query("counters:value", { name: "awaits" })).toBe(0);
  });

  it("without ever yielding is terminated; other calls are answered after the restart, done once", async () => {
    const hanging = mutate("faults:loopForever", { name: "loops" });
    const failure = hanging.catch((error: unknown) => String(error));
    const others = Promise.all(
      Array.from({ length: 5 }, () => mutate("counters:increment", { name: "beside" })),
    );
    expect(await failure).toContain("Function execution timed out");
    expect(new Set(await others)).toEqual(new Set([1, 2, 3, 4, 5]));
    expect(await query("counters:value", { name: "loops" })).toBe(0);
    expect(await query("counters:value", { name: "beside" })).toBe(5);
  });
});

describe("code that breaks the runtime", () => {
  it("ends its own request; subscriptions go on over the same socket", async () => {
    const seen: unknown[] = [];
    deployment
      .client()
      .onUpdate(makeFunctionReference<"query">("counters:value"), { name: "survivor" }, (value) =>
        seen.push(value),
      );
    await eventually(
      () => Promise.resolve(seen.length),
      (length) => length === 1,
    );
    await expect(act("faults:crash")).rejects.toThrow(/restarted while this request ran/);
    await mutate("counters:increment", { name: "survivor" });
    await eventually(
      () => Promise.resolve(seen.at(-1)),
      (value) => value === 1,
    );
  });

  it("may forget a rejected promise without taking anybody down", async () => {
    expect(await act("faults:leakRejection")).toBe("fine");
    expect(await query("counters:value", { name: "none" })).toBe(0);
  });
});

describe("limits of a call", () => {
  it("hold for documents, reads and writes, with Convex's texts", async () => {
    await expect(mutate("faults:tooLarge", { bytes: 1_048_600 })).rejects.toThrow(/maximum size 1 MiB/);
    await expect(query("faults:manyGets", { count: 4_097 })).rejects.toThrow(
      /Too many reads in a single function execution/,
    );
    await mutate("faults:fill", { count: 100 });
    expect(await query("faults:readAll")).toBe(100);
  });
});
