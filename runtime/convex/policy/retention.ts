/** How long rows are kept. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

export const RETENTION_KINDS = [
  "done",
  "cancelled",
  "dead_letter",
  "history",
  "audit",
  "workers",
  "attachments",
] as const;
export type RetentionKind = (typeof RETENTION_KINDS)[number];

/** Rows that ended (or were written) at this time or before may go, ms. */
export function retentionCutoff(
  kind: RetentionKind,
  policy: RuntimeConfig["retention"],
  now: number,
): number {
  switch (kind) {
    case "done":
    case "cancelled":
      return now - policy.finishedMessageMs;
    case "dead_letter":
      return now - policy.deadLetterMs;
    case "history":
      return now - policy.historyMs;
    case "audit":
      return now - policy.auditMs;
    case "workers":
      return now - policy.stoppedWorkerMs;
    case "attachments":
      return now - policy.attachmentMs;
  }
}

/** Whether a finished message may be deleted. One without an end is never old enough. */
export function isDueForDeletion(message: { finishedAt?: number | undefined }, cutoff: number): boolean {
  return message.finishedAt !== undefined && message.finishedAt <= cutoff;
}
