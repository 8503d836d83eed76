import { expect, test } from "vitest";
import { createDeliveryQueue } from "./deliveryQueue.ts";

test("keys are served in the order in which they became ready, one update of a key at a time", () => {
  const queue = createDeliveryQueue();
  for (const [key, id] of [
    ["a", 1],
    ["a", 2],
    ["b", 3],
  ] as const)
    queue.add(key, id);
  expect(queue.take(0)).toEqual({ key: "a", updateId: 1 });
  expect(queue.take(0)).toEqual({ key: "b", updateId: 3 });
  expect(queue.take(0)).toBeUndefined();
  queue.done("a");
  expect(queue.take(0)).toEqual({ key: "a", updateId: 2 });
});

test("a failed update comes back first in its line, and not before its time", () => {
  const queue = createDeliveryQueue();
  queue.add("a", 1);
  queue.add("a", 2);
  queue.take(0);
  queue.retry("a", 500);
  expect(queue.take(499)).toBeUndefined();
  expect(queue.nextReadyAt()).toBe(500);
  expect(queue.take(500)).toEqual({ key: "a", updateId: 1 });
  expect(queue.nextReadyAt()).toBeUndefined();
});
