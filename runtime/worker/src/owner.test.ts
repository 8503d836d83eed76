import { expect, test } from "vitest";
import type { Claim } from "../../convex/validators.ts";
import { createOwnerGuard, WorkerSpent } from "./owner.ts";

const claims =
  (dedication: Claim["dedication"]) =>
  (conversationId: string, agentKey: string): Claim =>
    ({ conversationId, agentKey, dedication }) as Claim;

const guardOf = (wipe: () => unknown, isSpent = () => false) =>
  createOwnerGuard({ wipe: () => Promise.resolve(void wipe()), isSpent });

/** Work that ends when the test says so. */
function pending() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { work: () => promise, end: resolve };
}

test("without dedication owners mix and nothing is wiped", async () => {
  const wipes: number[] = [];
  const claimOf = claims("none");
  const guard = guardOf(() => wipes.push(1));
  await guard.serve(claimOf("a", "x"), () => Promise.resolve());
  await guard.serve(claimOf("b", "y"), () => Promise.resolve());
  expect(wipes).toEqual([]);
});

test("another owner waits for the turns that run, then finds everything wiped", async () => {
  const events: string[] = [];
  const claimOf = claims("conversation");
  const guard = guardOf(() => events.push("wipe"));
  const first = pending();
  const a = guard.serve(claimOf("a", "x"), first.work);
  const b = guard.serve(claimOf("b", "x"), () => Promise.resolve(void events.push("b runs")));
  await new Promise((resolve) => setImmediate(resolve)); // Everything that could go on by itself has.
  expect(events).toEqual([]);
  first.end();
  await Promise.all([a, b]);
  expect(events).toEqual(["wipe", "b runs"]);
});

test("the same owner comes again without a wipe, several turns at once", async () => {
  const wipes: number[] = [];
  const claimOf = claims("agent");
  const guard = guardOf(() => wipes.push(1));
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
  const claimOf = claims("agent");
  const guard = guardOf(() => wipes.push(1));
  await expect(guard.serve(claimOf("a", "x"), () => Promise.reject(new Error("failed")))).rejects.toThrow(
    "failed",
  );
  await guard.serve(claimOf("b", "y"), () => Promise.resolve());
  expect(wipes).toEqual([1]);
});

test("a config that begins to dedicate workers wipes what was mixed, and one that ends it wipes once more", async () => {
  const wipes: number[] = [];
  const guard = guardOf(() => wipes.push(1));
  const nothing = () => Promise.resolve();
  await guard.serve(claims("none")("a", "x"), nothing);
  await guard.serve(claims("conversation")("a", "x"), nothing);
  expect(wipes).toHaveLength(1);
  await guard.serve(claims("none")("a", "x"), nothing);
  await guard.serve(claims("none")("b", "y"), nothing);
  expect(wipes).toHaveLength(2);
});

test("a worker on which commands ran serves its owner, and nobody after it", async () => {
  const claimOf = claims("conversation");
  const wipes: number[] = [];
  const guard = guardOf(
    () => wipes.push(1),
    () => true,
  );
  await guard.serve(claimOf("a", "x"), () => Promise.resolve());
  await guard.serve(claimOf("a", "x"), () => Promise.resolve());
  await expect(guard.serve(claimOf("b", "x"), () => Promise.resolve())).rejects.toThrow(WorkerSpent);
  expect(wipes).toEqual([]);
});
