import { expect, test } from "vitest";
import { isDueForDeletion, RETENTION_KINDS, retentionCutoff } from "./retention.ts";

const policy = {
  finishedMessageMs: 1,
  deadLetterMs: 2,
  historyMs: 3,
  auditMs: 4,
  stoppedWorkerMs: 5,
  decisionMs: 6,
  updateIdMs: 7,
  attachmentMs: 8,
};

test("every kind has a time of its own", () => {
  const ages = RETENTION_KINDS.map((kind) => [kind, 1_000 - retentionCutoff(kind, policy, 1_000)]);
  expect(Object.fromEntries(ages)).toEqual({
    done: 1,
    cancelled: 1,
    dead_letter: 2,
    history: 3,
    audit: 4,
    workers: 5,
    attachments: 8,
  });
});

test("a message goes at its cutoff, not before, and never while it has no end", () => {
  expect([99, 100, 101].map((finishedAt) => isDueForDeletion({ finishedAt }, 100))).toEqual([
    true,
    true,
    false,
  ]);
  expect(isDueForDeletion({}, Number.MAX_SAFE_INTEGER)).toBe(false);
});
