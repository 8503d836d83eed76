import { expect, test } from "vitest";
import type { Claim } from "../../convex/validators.ts";
import { createOwnerGuard } from "./owner.ts";

const claimOf = (conversationId: string, agentKey: string): Claim => ({ conversationId, agentKey }) as Claim;

/** Work that ends when the test says so. */
function pending() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { work: () => promise, end: resolve };
}

test("without dedication owners mix and nothing is wiped", async () => {
  const wipes: number[] = [];
  const guard = createOwnerGuard("none", () => Promise.resolve(void wipes.push(1)));
  await guard.serve(claimOf("a", "x"), () => Promise.resolve());
  await guard.serve(claimOf("b", "y"), () => Promise.resolve());
  expect(wipes).toEqual([]);
});

test("another owner waits for the turns that run, then finds everything wiped", async () => {
  const events: string[] = [];
  const guard = createOwnerGuard("conversation", () => Promise.resolve(void events.push("wipe")));
  const first = pending();
  const a = guard.serve(claimOf("a", "x"), first.work);
  const b = guard.serve(claimOf("b", "x"), () => Promise.resolve(void events.push("b runs")));
  await Promise.resolve();
  expect(events).toEqual([]);
  first.end();
  await Promise.all([a, b]);
  expect(events).toEqual(["wipe", "b runs"]);
});

test("the same owner comes again without a wipe, several turns at once", async () => {
  const wipes: number[] = [];
  const guard = createOwnerGuard("agent", () => Promise.resolve(void wipes.push(1)));
  const first = pending();
  const a = guard.serve(claimOf("a", "x"), first.work);
  await guard.serve(claimOf("b", "x"), () => Promise.resolve());
  first.end();
  await a;
  await guard.serve(claimOf("c", "x"), () => Promise.resolve());
  expect(wipes).toEqual([]);
});

test("a turn that fails makes room like any other", async () => {
  const wipes: number[] = [];
  const guard = createOwnerGuard("agent", () => Promise.resolve(void wipes.push(1)));
  await expect(guard.serve(claimOf("a", "x"), () => Promise.reject(new Error("failed")))).rejects.toThrow(
    "failed",
  );
  await guard.serve(claimOf("b", "y"), () => Promise.resolve());
  expect(wipes).toEqual([1]);
});
