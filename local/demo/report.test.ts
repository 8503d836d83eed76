import { expect, test } from "vitest";
import { createReport, type MessageTimes, timelineLines } from "./report.ts";

const cold: MessageTimes = {
  messageId: "m1",
  conversationId: "telegram:1:5001",
  seq: 1,
  status: "done",
  attempts: 1,
  enqueuedAt: 10_029,
  claimedAt: 22_063,
  hydratedAt: 22_115,
  modelDoneAt: 22_914,
  answeredAt: 22_950,
  deliveredAt: 22_990,
  workerId: "w1",
  machineCreatedAt: 10_058,
  workerReadyAt: 22_016,
  image: null,
};

test("timelines are a table in people's units, without the boot of a worker that was there before", () => {
  const warm = { ...cold, enqueuedAt: 30_009, claimedAt: 30_020, hydratedAt: 30_033, modelDoneAt: 30_343 };
  expect(
    timelineLines([
      { title: "Ada", times: cold, sentAt: 10_000, acceptedAt: 10_037 },
      { title: "Ada again", times: { ...warm, deliveredAt: null }, sentAt: 30_000, acceptedAt: null },
    ]),
  ).toEqual([
    "after it was sent      Ada   Ada again",
    "queued               29 ms        9 ms",
    "webhook accepted     37 ms           –",
    "machine created      58 ms           –",
    "worker ready        12.0 s           –",
    "claimed             12.1 s       20 ms",
    "hydrated            12.1 s       33 ms",
    "model done          12.9 s      343 ms",
    "delivered           13.0 s           –",
  ]);
});

test("a claim that does not hold is kept and shown", () => {
  const lines: string[] = [];
  let now = 0;
  const report = createReport(
    2,
    (line) => lines.push(line),
    () => now,
  );
  now = 7_400;
  report.step("Something");
  report.check(true, "one");
  report.check(false, "two");
  expect(report.failures()).toEqual(["two"]);
  expect(lines[1]).toContain("[1/2] Something");
  expect(lines[1]).toContain("(at 7 s)");
  expect(lines.at(-1)).toContain("FAIL");
});
