import { expect, test } from "vitest";
import { PUSH_TEXT_UNITS_MAX, PUSH_TITLE_UNITS_MAX, pushProblems } from "./push.ts";

test("every problem of a push is told at once", () => {
  const fields = {
    companyId: " ",
    consumerUserId: "u".repeat(257),
    title: "t".repeat(PUSH_TITLE_UNITS_MAX + 1),
    text: "",
    schedule: { kind: "weekly" as const, weekday: 8, time: "9:00" },
    timeZone: "Rome",
  };
  expect(pushProblems(fields)).toEqual([
    "Invalid timezone 'Rome'",
    "Invalid time '9:00', expected HH:mm",
    "Invalid weekday '8', expected 1 (Monday) to 7 (Sunday)",
    "companyId must have 1 to 128 characters",
    "consumerUserId must have 1 to 256 characters",
    "title must have 1 to 200 characters",
    "text must have 1 to 4096 characters",
  ]);
});

test("what is absent, and what is as long as it may be, has no problem", () => {
  expect(pushProblems({})).toEqual([]);
  const title = "t".repeat(PUSH_TITLE_UNITS_MAX);
  const text = "t".repeat(PUSH_TEXT_UNITS_MAX);
  expect(pushProblems({ title, text, consumerUserId: "u".repeat(256) })).toEqual([]);
});
