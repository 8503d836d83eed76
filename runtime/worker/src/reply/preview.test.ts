import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LeaseRef } from "../../../convex/validators.ts";
import { startPreview } from "./preview.ts";

const lease = { messageId: "m", leaseId: "l" } as unknown as LeaseRef;
const INTERVAL_MS = 1_500;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function open(answer: (text: string, call: number) => Promise<boolean> = () => Promise.resolve(true)) {
  const shown: string[] = [];
  const lost = new AbortController();
  const backend = {
    preview: (_lease: LeaseRef, text: string) => {
      shown.push(text);
      return answer(text, shown.length);
    },
  };
  return { shown, lost, preview: startPreview(backend, lease, INTERVAL_MS, lost.signal) };
}
const words = (count: number): string => "some words ".repeat(count);

test("shows the newest text once per interval, and an unchanged one once", async () => {
  const { preview, shown } = open();
  for (let step = 1; step <= 30; step += 1) {
    preview.offer(words(step));
    await vi.advanceTimersByTimeAsync(150);
  }
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(shown).toEqual([words(10), words(20), words(30)]);
  preview.stop();
});

test("a short answer that comes at once is never previewed", async () => {
  const { preview, shown } = open();
  preview.offer(words(3));
  await vi.advanceTimersByTimeAsync(INTERVAL_MS - 1);
  preview.stop();
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(shown).toEqual([]);
});

test("a few letters are not shown", async () => {
  const { preview, shown } = open();
  preview.offer("NO_REPLY");
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(shown).toEqual([]);
  preview.stop();
});

test("a call that takes long is not overtaken by another", async () => {
  const slow = Promise.withResolvers<boolean>();
  const { preview, shown } = open(() => slow.promise);
  preview.offer(words(2));
  await vi.advanceTimersByTimeAsync(INTERVAL_MS);
  preview.offer(words(4));
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(shown).toEqual([words(2)]);
  slow.resolve(true);
  await vi.advanceTimersByTimeAsync(INTERVAL_MS);
  expect(shown).toEqual([words(2), words(4)]);
  preview.stop();
});

test.each<[string, (call: number) => Promise<boolean>, number]>([
  ["the backend wants no more", () => Promise.resolve(false), 1],
  ["it fails three times in a row", () => Promise.reject(new Error("away")), 3],
])("ends when %s", async (_why, answer, calls) => {
  const { preview, shown } = open((_text, call) => answer(call));
  for (let step = 1; step <= 10; step += 1) {
    preview.offer(words(step));
    await vi.advanceTimersByTimeAsync(INTERVAL_MS);
  }
  expect(shown).toHaveLength(calls);
});

test("ends with the lease", async () => {
  const { preview, shown, lost } = open();
  preview.offer(words(2));
  lost.abort();
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(shown).toEqual([]);
});
