import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LeaseRef } from "../../../convex/validators.ts";
import { BackendError, type BackendErrorKind, type WorkerBackend } from "./backend.ts";
import { patiently } from "./patient.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const lease = { messageId: "m", leaseId: "l" } as unknown as LeaseRef;

/** A backend whose calls fail with these kinds, one after the other, and then succeed. */
function failing(...kinds: BackendErrorKind[]) {
  const calls: number[] = [];
  const call = (): Promise<boolean> => {
    calls.push(Date.now());
    const kind = kinds.shift();
    return kind === undefined ? Promise.resolve(true) : Promise.reject(new BackendError(kind, kind));
  };
  const backend = { complete: call, heartbeat: call } as unknown as WorkerBackend;
  return { backend, calls };
}
const turn = { ...lease, answer: { text: "hi" }, history: [] };

test("a call that did not arrive, or whose answer was lost, is made again until it is answered", async () => {
  const { backend, calls } = failing("retryable", "unknown", "retryable");
  const completed = patiently(backend, new AbortController().signal).complete(turn);
  await vi.advanceTimersByTimeAsync(250 + 500 + 1_000);
  expect(await completed).toBe(true);
  expect(calls).toHaveLength(4);
});

test.each<BackendErrorKind>(["permanent", "unauthorized"])("a call refused as %s is not", async (kind) => {
  const { backend, calls } = failing(kind);
  await expect(patiently(backend, new AbortController().signal).complete(turn)).rejects.toThrow(kind);
  expect(calls).toHaveLength(1);
});

test("the end of the lease ends the repetition", async () => {
  const { backend, calls } = failing(...Array<BackendErrorKind>(1_000).fill("retryable"));
  const lost = new AbortController();
  const ended = patiently(backend, lost.signal)
    .complete(turn)
    .catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(30_000);
  const before = calls.length;
  expect(before).toBeGreaterThan(15);
  lost.abort();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await ended).toMatchObject({ kind: "retryable" });
  expect(calls).toHaveLength(before);
});

test("heartbeats are not repeated: the next one is due soon", async () => {
  const { backend, calls } = failing("retryable");
  await expect(patiently(backend, new AbortController().signal).heartbeat(lease)).rejects.toThrow(
    "retryable",
  );
  expect(calls).toHaveLength(1);
});
